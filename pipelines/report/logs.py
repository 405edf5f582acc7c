"""Log lines of a job on standard error: plain for a person, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from internvl_ops.events import LOGGERS, attach
from internvl_ops.redaction import safe_text
from pipelines import interruption

LINES_OF_EACH = 20  # of one sort of event; of further ones every second, fourth, … has a line
NOT_SPARED = ("phase", "progress", "notice")


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {safe_text(record.getMessage())}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _json_line(
            record.getMessage(),
            at=record.created,
            level=record.levelname.lower(),
            logger=record.name,
            event=getattr(record, "event", None),
            fields=getattr(record, "fields", {}),
        )


class _StandardError(logging.Handler):
    """Writes to what `sys.stderr` is at the time, which a live progress line replaces."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event is None or event in NOT_SPARED:
            return True
        self._lines[event] += 1
        number = self._lines[event]
        return number <= LINES_OF_EACH or number & (number - 1) == 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def configure(*, as_json: bool) -> None:
    """Lets this process log to standard error from now on; called by jobs, never by the library.

    Args:
        as_json: Whether as JSON, one object a line.
    """
    handler = _StandardError()
    handler.setFormatter(_Json() if as_json else _Plain())
    attach(handler)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # a library may have given the root a handler, which would write each line again
    interruption.form = _interrupted if as_json else interruption.plain


def _interrupted(text: str) -> str:
    return _json_line(text, level="warning", logger="pipelines.interruption", event="interrupted")


def _json_line(
    message: str,
    *,
    level: str,
    logger: str,
    event: str | None,
    at: float | None = None,
    fields: dict[str, Any] | None = None,
) -> str:
    when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return json.dumps(
        {
            "time": when.isoformat(timespec="milliseconds"),
            "level": level,
            "logger": logger,
            "message": safe_text(message),
            "event": event,
            "fields": fields or {},
        },
        default=str,
    )
