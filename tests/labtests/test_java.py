"""A machine without Java gets one line that says what to install."""

from pathlib import Path

import pytest

from tests.lab import java
from tests.lab.errors import MissingToolError


def test_a_missing_jdk_is_one_line_that_names_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError) as error:
        java.java()
    assert str(error.value) == (
        "A JDK of 17 or newer and Maven are missing: install them (Debian: apt-get install default-jdk-headless maven)"
    )
