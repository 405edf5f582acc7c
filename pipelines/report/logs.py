"""Writes a job's log lines to standard error: plain text for a person, or one JSON object per line
for machines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NoReturn

from internvl_ops.events import LOGGERS, attach, note
from internvl_ops.stores.redaction import safe_text
from pipelines import interruption
from pipelines.flags import in_flags
from pipelines.options.command_line import exit_with
from pipelines.report.engine_news import READY, STEP
from pipelines.report.live import can_draw, console_for

LINES_OF_EACH = 20  # log lines per sort of event; after that only the 32nd, 64th, 128th, … has one
NOT_SPARED = ("phase", "progress", "notice")
DRAWN = (STEP, READY)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return (
            f"{time.strftime('%H:%M:%S', time.localtime(record.created))}"
            f" {in_flags(safe_text(record.getMessage()))}"
        )


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
    """Writes to the current `sys.stderr`, which a live display replaces.

    Args:
        draws: Whether a live display shows what the events `DRAWN` say.
    """

    def __init__(self, *, draws: bool) -> None:
        super().__init__()
        self._hidden = DRAWN if draws else ()
        self._lines: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event in self._hidden:
            return False
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


def configure(*, as_json: bool, quiet: bool = False) -> None:
    """Sends the log records of this process to standard error. Jobs call it; the library never
    does.

    Args:
        as_json: Whether to write JSON, one object per line.
        quiet: Whether to write warnings and errors only.
    """
    handler = _StandardError(draws=not as_json and can_draw(console_for(None)))
    handler.setLevel(logging.WARNING if quiet else logging.NOTSET)
    handler.setFormatter(_Json() if as_json else _Plain())
    attach(handler)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        # a library may have added a handler to the root, which would repeat each line
        logger.propagate = False
    interruption.form = _interrupted if as_json else interruption.plain_line


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
            "message": in_flags(safe_text(message)),
            "event": event,
            "fields": fields or {},
        },
        default=str,
    )


def fail(error: Exception, status: int, logger: logging.Logger, *, as_json: bool) -> NoReturn:
    """Ends the process with the error as the last line of its log.

    Args:
        error: What the command met.
        status: Exit status.
        logger: Logger of the command.
        as_json: As in `configure`.
    """
    if not as_json:
        exit_with(error, status)
    note(logger, "job_failed", str(error), level=logging.ERROR, status=status)
    sys.exit(status)
