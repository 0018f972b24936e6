"""Any days give a span or one line; what cannot be written or read is one line that names it."""

import os
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.days import days_until
from components.shared.errors import StepError
from tests.idx_files import write_source
from tests.ingest.conftest import digits
from tests.limits import small_files

days = st.one_of(
    st.text(max_size=12),
    st.dates().map(date.isoformat),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.sampled_from(["0001-01-01T00:00:00+23:00", "9999-12-31T23:00:00-23:00", "2026-W01", ""]),
)


@pytest.mark.fuzz
@given(st.integers(0, (1 << 31) - 1), days)
def test_any_span_until_any_day(span: int, until: str) -> None:
    try:
        first, last = days_until(span, until)
    except StepError as error:
        assert str(error).startswith("--until ")
    else:
        assert date.min <= first <= last
        assert not span or first == date.min or (last - first).days == span - 1


def test_a_span_longer_than_the_calendar_is_all() -> None:
    assert days_until(999_999, "2026-11-24") == (date.min, date(2026, 11, 24))
    assert days_until(date(2026, 11, 24).toordinal(), "2026-11-24")[0] == date.min


def test_a_shard_that_cannot_be_written(tmp_path: Path) -> None:
    told = (
        r"/\.examples\.partial/train/examples-0000\d-of-\d+\.tfrecord: file too large; no file may"
    )
    with small_files(50_000), pytest.raises(StepError, match=told):
        ingest(Ingest(source="fake://2000"), tmp_path / "examples")
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_cannot_be_unpacked(tmp_path: Path) -> None:
    write_source(tmp_path / "source", digits(120), digits(30, 1), packed=True)
    config = Ingest(source=str(tmp_path / "source"), validation_size=20)
    with small_files(50_000), pytest.raises(StepError, match=r"partial/\.work/\S*: file too large"):
        ingest(config, tmp_path / "out" / "examples")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["pipe", "digits.parquet", "train-images-idx3-ubyte", "a.csv"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str, alone: bool) -> None:
    os.mkfifo(tmp_path / name)
    source = tmp_path / name if alone else tmp_path
    with pytest.raises(StepError, match=str(source)):
        ingest(Ingest(source=str(source)), tmp_path / "out")


def test_a_device_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="/dev/zero: "):
        ingest(Ingest(source="/dev/zero"), tmp_path / "out")
