"""docs/yours.md, on how to take the project over: what it says to delete and to edit is there."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "yours.md").read_text(encoding="utf-8")
REMOVALS = re.findall(r"^git rm (?:-\S+ )+(.*)$", PAGE.replace("\\\n", ""), re.MULTILINE)
ITEMS = re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", PAGE, re.MULTILINE)


def text_of(path: Path) -> str:
    """Returns the text of a file, or of all files of a folder but for compiled ones."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    files = [file for file in files if file.suffix != ".pyc"]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.split()[0])
def test_what_it_deletes_is_there(removal: str) -> None:
    assert [path for path in removal.split() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: " ".join(item.split())[:40])
def test_what_it_edits_is_there_and_has_such_lines(item: str) -> None:
    found: list[Path] = []
    for clause in item.split(";"):  # files, and names in them; or more names in the same files
        words = re.findall(r"`([^`]+)`", clause)
        paths = [ROOT / word for word in words if (ROOT / word).exists()]
        found = paths or found
        texts = [text_of(path) for path in found]
        names = [word for word in words if ROOT / word not in paths]
        assert [name for name in names if not any(name in text for text in texts)] == []
