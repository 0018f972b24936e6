"""The words of the project: the glossary has what is used, and nothing uses what was retired."""

import re
from collections import Counter

import pytest

from tests.conftest import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
LINES = re.findall(r"^\| (.+?) \| (.+) \|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
WORDS = [word for word, _ in LINES if word not in ("word", "---")]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = sorted(path for top in ("components", "pipeline") for path in (ROOT / top).rglob("*.py"))


def test_the_words_are_in_order_and_each_is_there_once() -> None:
    assert sorted(WORDS, key=str.lower) == WORDS
    assert max(Counter(WORDS).values()) == 1
    assert 35 <= len(WORDS) <= 50


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_glossary_is_used(word: str) -> None:
    words = "[ _-]".join(map(re.escape, word.split()))
    form = re.compile(rf"\b{words}(?:s|es)?\b", re.IGNORECASE)
    files = [path for path in (*DOCS, *CODE) if path != GLOSSARY]
    uses = [path for path in files if form.search(path.read_text(encoding="utf-8"))]
    assert len(uses) > 1, f"docs/glossary.md: {word} is used in {len(uses)} files"


# Private words of earlier versions, and what they are called since.
RETIRED = {
    "at_once": "batch_limit",
    "check_there": "check_exists",
    "Moved": "DriftFigure",
    "Telling": "Notification",
    "whole_directory": "atomic_directory",
    "whole_output": "atomic_output",
}


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_is_used_nowhere(word: str) -> None:
    used = re.compile(rf"\b{word}\b")
    files = [path for path in (*DOCS, *CODE) if used.search(path.read_text(encoding="utf-8"))]
    assert not files, f"{word} is called {RETIRED[word]}"


def test_one_name_of_a_class_stands_for_one_thing() -> None:
    names = (re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE) for path in CODE)
    counts = Counter(name for found in names for name in found)
    assert [name for name, count in counts.items() if count > 1] == []
