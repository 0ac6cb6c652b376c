"""The source keeps the habits of the house: sizes, a reason beside every exception, every module on the map."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.tracked import ROOT, TRACKED, name_of

MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40
"""Of code: without its docstring, comments and blank lines. A test is one story and may be longer."""

PACKAGE = ROOT / "operator" / "channel_operator"
SOURCES = [path for path in TRACKED if path.suffix == ".py"]


def _functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name of every function that is no test, and how many lines of code it has."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("test_"):
            continue
        docstring = node.body[0] if ast.get_docstring(node) is not None else None
        told = range(docstring.lineno, (docstring.end_lineno or 0) + 1) if docstring is not None else range(0)
        code = [n for n in range(node.lineno, (node.end_lineno or 0) + 1) if n not in told]
        yield node.name, sum(bool(lines[n - 1].strip()) and not lines[n - 1].lstrip().startswith("#") for n in code)


def test_no_file_holds_so_much_that_it_holds_two_ideas() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    sizes = {(name_of(path), name): size for path in SOURCES for name, size in _functions(path.read_text())}
    assert {where: size for where, size in sizes.items() if size > MOST_LINES_OF_A_FUNCTION} == {}


def test_lines_of_code_are_counted_without_docstring_comments_and_blank_lines() -> None:
    text = 'def f(\n    x: int,\n) -> int:\n    """Say.\n\n    More.\n    """\n    # why\n\n    return x\n'
    assert list(_functions(text)) == [("f", 4)]


BARE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type: ignore(?:\[[\w, -]+\])?)\s*$")


def test_every_exception_from_the_checks_has_a_reason_beside_it() -> None:
    found = [
        f"{name_of(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if BARE.search(line)
    ]
    assert found == []


def test_an_exception_without_a_reason_would_be_found() -> None:
    told, bare = "x = 1  # noqa: S311  # jitter only", "x = 1  # noqa: " + "S311"
    assert (BARE.search(told) is None, BARE.search(bare) is None) == (True, False)


def _section(title: str) -> str:
    text = (ROOT / "docs" / "architecture.md").read_text()
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _rooms() -> dict[str, set[str]]:
    """Return the modules that docs/architecture.md names, room by room."""
    _, *rooms = re.split(r"^### `(.+)/`$", _section("The rooms, file by file"), flags=re.MULTILINE)
    told = {room: re.findall(r"`(\w+\.py)`", text) for room, text in zip(rooms[::2], rooms[1::2], strict=True)}
    told["."] = re.findall(r"`(?:operator/channel_operator/)?([a-z]+\.py)`", _section("Where things are"))
    return {room: set(names) for room, names in told.items()}


def test_the_map_of_the_rooms_names_every_module_and_no_other() -> None:
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        if path.is_relative_to(PACKAGE) and not path.name.startswith("__"):
            found.setdefault(str(Path(path.parent).relative_to(PACKAGE)), set()).add(path.name)
    assert _rooms() == found
