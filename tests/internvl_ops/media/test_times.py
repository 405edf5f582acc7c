"""Seconds of a video as manifests write them."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import UnitError
from internvl_ops.media.times import seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("NaN", None),
        (math.nan, None),
        (0, 0.0),
        (1.5, 1.5),
        (Decimal("2.25"), 2.25),
        ("2", 2.0),
        (" 0.5 ", 0.5),
        ("1e1", 10.0),
        ("00:00:01", 1.0),
        ("1:02:03.5", 3723.5),
        ("00:01:02,250", 62.25),
        ("02:03", 123.0),
        ("90:00", 5400.0),
        (datetime.time(0, 1, 2, 500_000), 62.5),
        (datetime.timedelta(minutes=2), 120.0),
    ],
)
def test_a_time_is_read_in_every_spelling(value: object, seconds: float | None) -> None:
    assert seconds_of(value, "start") == seconds


@pytest.mark.parametrize(
    "value",
    [
        True,
        "soon",
        "1:75:00",
        "1:02:99",
        "-3",
        -1.0,
        math.inf,
        "inf",
        [1.0],
        {"s": 1},
        "1:2:3:4",
        b"1",
        "9" * 5000 + ":00",
        "00:" + "9" * 5000,
        "9" * 5000,
        10**400,
        Decimal("1e400"),
    ],
)
def test_what_is_no_time_is_a_bad_row_that_says_what_is(value: object) -> None:
    with pytest.raises(UnitError, match=r"column 'end'.*hh:mm:ss") as caught:
        seconds_of(value, "end")
    assert caught.value.kind == "bad_row"


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_clock_is_the_seconds_it_shows(
    hours: int, minutes: int, seconds: int, thousandths: int
) -> None:
    text = f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"
    assert seconds_of(text, "start") == pytest.approx(
        hours * 3600 + minutes * 60 + seconds + thousandths / 1000
    )
