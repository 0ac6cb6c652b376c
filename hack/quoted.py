"""Shows files inside the pages that explain them, so that what a reader copies is what the tests run.

A comment `<!-- file: path -->` names a file; the code block below it is replaced by the file's text. Decides that only.
"""

import re
from pathlib import Path

__all__ = ["quoted"]

_BLOCK = re.compile(r"(<!-- file: (?P<path>\S+) -->\n```\w+\n).*?(^```$)", re.MULTILINE | re.DOTALL)


def quoted(page: str, root: Path) -> str:
    """Return the page with each named file (relative to `root`) in its block; FileNotFoundError if one is not."""

    def fill(block: re.Match[str]) -> str:
        text = (root / block["path"]).read_text()
        return f"{block[1]}{text.rstrip()}\n{block[3]}"

    return _BLOCK.sub(fill, page)
