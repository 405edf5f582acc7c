"""What the system decides by itself, such as to restart an engine: log records with a name, without credentials.

`note` makes one. A library only logs; whoever runs it attaches handlers. A worker process attaches one that sends its
events to where they are collected, see `forward`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from internvl_ops.redaction import safe_text

LOGGERS = ("internvl_ops", "pipelines")  # all loggers of this project are below these
LONGEST_MESSAGE = 1000  # characters
_VALUES = (bool, int, float, type(None))


def note(logger: logging.Logger, event: str, message: str, *, level: int = logging.WARNING, **fields: object) -> None:
    """Logs an event.

    Args:
        logger: Of the module that decides.
        event: Name of its sort, such as ``engine_died``; events are counted by it.
        message: A sentence for a person. Credentials in it are replaced.
        level: Of the record.
        fields: What a machine reads: numbers and short texts.
    """
    text = safe_text(message)
    text = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"
    shown = {name: value if isinstance(value, _VALUES) else safe_text(str(value)) for name, value in fields.items()}
    logger.log(level, text, extra={"event": event, "fields": shown})


@contextlib.contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    """Gives ``handler`` all records of the project meanwhile."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class Forwarder(logging.Handler):
    """Sends events as plain values, for instance to another process; other records are left out.

    Args:
        send: Takes a value. That it fails costs the event and nothing else.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send, self._worker = send, f"{socket.gethostname()}-{os.getpid()}"

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is None:
            return
        with contextlib.suppress(Exception):
            self._send(
                {
                    "logger": record.name,
                    "level": record.levelno,
                    "event": event,
                    "message": record.getMessage(),
                    "fields": {**getattr(record, "fields", {}), "worker": self._worker},
                    "at": record.created,
                }
            )


def attach(handler: logging.Handler) -> None:
    """Gives ``handler`` all records of the project from now on, in place of an earlier one of its class."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for earlier in [one for one in logger.handlers if type(one) is type(handler)]:
            logger.removeHandler(earlier)
        logger.addHandler(handler)


def forward(send: Callable[[dict[str, Any]], None]) -> None:
    """Sends the events of this process from now on; a second call replaces the first."""
    attach(Forwarder(send))


def receive(value: dict[str, Any]) -> None:
    """Logs here an event that a `Forwarder` sent, with the time at which it happened there."""
    record = logging.makeLogRecord(
        {
            "name": value["logger"],
            "levelno": value["level"],
            "levelname": logging.getLevelName(value["level"]),
            "msg": value["message"],
            "event": value["event"],
            "fields": value["fields"],
            "created": value["at"],
        }
    )
    logging.getLogger(record.name).handle(record)
