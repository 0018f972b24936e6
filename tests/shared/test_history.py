"""A training history is read whatever a kill or a disk has made of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluate.report import _loss_chart, _precision_chart
from components.shared.history import Row, read_history, text_of

figures = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = st.fixed_dictionaries(
    {"step": st.integers(0, 1 << 40)},
    optional={"loss": figures, "precision_at_1/test": figures, "precision_at_1/train": figures},
)
odd = st.one_of(
    st.binary(max_size=30),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["step", "loss"]), inner),
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all inputs."""
    return tmp_path_factory.mktemp("history")


@pytest.mark.fuzz
@given(st.lists(st.one_of(rows.map(text_of).map(str.strip).map(str.encode), odd)))
def test_any_lines_make_a_history_that_can_be_drawn(directory: Path, lines: list[bytes]) -> None:
    path = directory / "history.jsonl"
    path.write_bytes(b"\n".join(lines))
    found = read_history(path)
    steps = [row["step"] for row in found]
    assert steps == sorted(steps)
    assert all(type(value) in (int, float) for row in found for value in row.values())
    for chart in (_loss_chart(found), _precision_chart(found)):
        if chart:
            assert chart.x.ticks() and chart.y.ticks() is not None


def test_what_was_written_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Row] = [
        {"step": 100, "loss": 0.5},
        {"step": 100, "precision_at_1/test": 0.9},
        {"step": 200},
    ]
    (tmp_path / "history.jsonl").write_text("".join(text_of(row) for row in told))
    assert read_history(tmp_path / "history.jsonl") == told
    assert not capsys.readouterr().out


@pytest.mark.parametrize("line", [b'{"step": 300, "lo', b"\0" * 50, b"\xff", b"[]", b"nope"])
def test_an_odd_line_is_told(
    tmp_path: Path, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"step": 100, "loss": 0.5}\n' + line + b"\n")
    assert read_history(path) == [{"step": 100, "loss": 0.5}]
    assert capsys.readouterr().out == f"warning: {path}: 1 of 2 lines unreadable, left out\n"


def test_a_model_may_come_without(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.jsonl") == []
