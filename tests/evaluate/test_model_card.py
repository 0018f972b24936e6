"""A card says what others call their files and classes, and does nothing else with it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from components.shared import pages
from components.shared.manifests import Dataset, Evaluation, Model

TRICKS = [
    "x<script>alert(1)</script>[a](javascript:alert(3))",
    "![a](https://evil.example/a.png)",
    "<https://evil.example>",
    "[a]: https://evil.example\n\n[a]",
    "`</code><b>`",
    "a | b\n| --- |",
    "\n\n# Blessed\n\n",
    "\n- item\n> quote",
    "**bold** _it_ ~~no~~",
    "&lt;b&gt; &#60;i&#62;",
    "\\<b>\\[a](b)",
    "\x1b[31mred\x1b[0m\x9b31m\u202e",
]


def tokens(card: str) -> list[str]:
    """Returns what a card is made of, as a reader of Markdown sees it."""
    found = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(card):
        found.append(token.type)
        found += [child.type for child in token.children or ()]
    return found


@pytest.fixture(scope="module")
def made(evaluation: Path, model: Path, examples: Path) -> tuple[Evaluation, Model, Dataset]:
    return Evaluation.read(evaluation), Model.read(model), Dataset.read(examples)


def card(made: tuple[Evaluation, Model, Dataset], name: str) -> str:
    """Renders the card of data that somebody gave such a name."""
    evaluation, model, dataset = made
    verdicts = [each.model_copy(update={"reason": name}) for each in evaluation.verdicts]
    return pages.render(
        "components.evaluate",
        "model_card.md.j2",
        evaluation=evaluation.model_copy(update={"warnings": [name], "verdicts": verdicts}),
        model=model.model_copy(update={"versions": {name: name}}),
        dataset=dataset.model_copy(update={"source": name, "class_names": [name] * 10}),
        name=name,
        run=name,
    )


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_is_text(made: tuple[Evaluation, Model, Dataset], name: str) -> None:
    written = card(made, name)
    plain = card(made, "name")
    assert tokens(written) == tokens(plain)
    assert "\x1b" not in written
    assert "](javascript:" not in written


@pytest.mark.fuzz
@given(
    st.text(alphabet=st.sampled_from("ab <>[]()!`*_~|#&;:/\\\n\r\t\"'-+=.0\x1b\u2028"), max_size=40)
)
def test_any_name_is_text(made: tuple[Evaluation, Model, Dataset], name: str) -> None:
    kinds = set(tokens(card(made, f"a{name}a")))
    assert kinds <= set(tokens(card(made, "name")))
