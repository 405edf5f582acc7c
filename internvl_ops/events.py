"""Events: decisions of the system, such as to restart an engine, as named log records without
credentials.

`note` makes an event. A library only logs; the program that uses it attaches handlers. A worker
process attaches one that sends its events to the process that collects them, see `forward`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from internvl_ops.stores.redaction import safe_text

LOGGERS = ("internvl_ops", "pipelines")  # all loggers of this project are below these
LONGEST_MESSAGE = 1000  # characters
_VALUES = (bool, int, float, type(None))


def note(
    logger: logging.Logger,
    event: str,
    message: str,
    *,
    level: int = logging.WARNING,
    **fields: object,
) -> None:
    """Logs an event.

    Args:
        logger: Logger of the module that decides.
        event: Name of its kind, such as ``engine_died``; events are counted by it.
        message: A sentence for a person. Credentials in it are replaced.
        level: Level of the record.
        fields: Data for programs: numbers and short texts.
    """
    text = safe_text(message)
    text = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"
    shown = {
        name: value if isinstance(value, _VALUES) else safe_text(str(value))
        for name, value in fields.items()
    }
    logger.log(level, text, extra={"event": event, "fields": shown})


def say_step(logger: logging.Logger, what: str) -> None:
    """Logs an event ``engine_step``, for whoever waits for an engine.

    Args:
        logger: Logger of the module that takes the step.
        what: What the engine is doing from now on, such as "loading the weights".
    """
    note(logger, "engine_step", f"An engine is {what}.", level=logging.INFO, step=what)


@contextlib.contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    """Gives ``handler`` all records of the project while the block runs."""
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
        send: Accepts a value. If it fails, only that event is lost.
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
    """Gives ``handler`` all records of the project from now on; it replaces an earlier handler of
    its class."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for earlier in [one for one in logger.handlers if type(one) is type(handler)]:
            logger.removeHandler(earlier)
        logger.addHandler(handler)


def forward(send: Callable[[dict[str, Any]], None]) -> None:
    """Sends all events of this process from now on; a second call replaces the first."""
    attach(Forwarder(send))
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


def log_event(value: dict[str, Any]) -> None:
    """Logs an event that a `Forwarder` sent from another process, with its original time."""
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
