"""A real Chromium without a window, and a server in this process for it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Without these, Chromium looks for updates and asks its maker's hosts at every start.
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update",
          "--disable-sync")  # fmt: skip


def chromium() -> str | None:
    """Path of a Chromium, from CHROMIUM or the search path; None if there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium, driven by Playwright. Its event loop runs in this thread until it is closed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=list(_QUIET))
        try:
            yield started
        finally:
            started.close()


@contextmanager
def serving(make: Callable[[int], ASGIApp]) -> Iterator[int]:
    """Serves an application on loopback; yields the port.

    Args:
        make: Makes the application for a port.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(make(port), access_log=False, log_level="warning", ws="none")
    )
    started = threading.Event()
    startup = server.startup

    async def startup_and_tell(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = startup_and_tell  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(60), "the server did not start"
        yield port
    finally:
        server.should_exit = True
        thread.join()
