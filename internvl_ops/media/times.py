"""Parses times in a video, in the formats of manifests."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal

from internvl_ops.errors import UnitError

# 1:02:03.5 or 02:03; subtitles write the fraction after a comma.
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:[.,]\d*)?)", re.ASCII)


def seconds_of(value: object, column: str) -> float | None:
    """Seconds from a number, a number as text, ``hh:mm:ss`` or ``mm:ss``; None if the row has no
    time.

    Raises:
        UnitError: ``bad_row``, with the allowed formats.
    """
    seconds = _seconds(value)
    if seconds is None:
        return None
    if not math.isfinite(seconds) or seconds < 0:
        raise UnitError(
            "decode",
            "bad_row",
            f"column '{column}' is {value!r:.80}; seconds (12.5) or hh:mm:ss (0:00:12.5), 0 or"
            " later, are needed",
        )
    return seconds


def _seconds(value: object) -> float | None:
    """Seconds; NaN if the value is not a time."""
    if value is None:
        return None
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return math.inf
        return None if math.isnan(number) else number  # pandas writes missing numbers as NaN
    return _of_text(value.strip()) if isinstance(value, str) else math.nan


def _of_text(text: str) -> float | None:
    if not text or text.lower() in ("nan", "null", "none"):
        return None
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        try:
            return float(text)
        except ValueError:
            return math.nan
    hours, minutes, seconds = clock[1], int(clock[2]), float(clock[3].replace(",", "."))
    if seconds >= 60 or (hours is not None and minutes >= 60):
        return math.nan
    return int(hours or 0) * 3600 + minutes * 60 + seconds
