"""Any span and any day give days, or one line."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.shared.errors import StepError
from components.sources.selection import days_until

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
