"""Shows outputs in a browser, for looking at units and marking them; on this machine alone."""

from __future__ import annotations

import contextlib
import getpass
import html
import importlib.util
import secrets
import socket
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from internvl_ops.errors import ConfigurationError
from pipelines import interruption
from pipelines.options.command_line import Mode, show

if TYPE_CHECKING:
    from pipelines.viewer.server import Viewer

_NEEDED = ("duckdb", "markdown_it", "starlette", "uvicorn")
_LONGEST_NAME = 100


class ViewOptions(BaseModel):
    """View"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outputs: tuple[str, ...] = Field(
        description="Outputs of jobs: local folders or URIs of stores.", min_length=1
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port on 127.0.0.1. Default: a free one."
    )
    browser: bool = Field(True, description="Open the page in a browser.")
    reviewer: str | None = Field(None, description="Name that marks are written under. Default: "
        "that of the user of this machine.")  # fmt: skip
    media: bool = Field(True, description="Read the pictures. An output names its media and what "
        "its runs could read: give --no-media for an output whose maker you do not "
        "trust.")  # fmt: skip
    media_root: str | None = Field(None, description="What relative media paths are relative to, "
        "if not to what they were in the run.")  # fmt: skip
    allow: tuple[str, ...] = Field((), description="URI prefix of media that may be read, besides "
        "what the runs could read. Repeat for more.")  # fmt: skip
    s3_anonymous: bool = Field(
        False, description="Read media from S3 without credentials, as public buckets allow."
    )


def run(options: ViewOptions, mode: Mode = "run") -> int:
    """Serves the page until it is stopped by Ctrl-C or SIGTERM.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: An output cannot be read, the port is taken, or a needed package is
            missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The viewer needs {', '.join(missing)}: pip install 'internvl-batch[view]'."
        )
    # after the check, like all that needs these packages
    from pipelines.viewer.outputs import Access, ViewedOutput
    from pipelines.viewer.server import Viewer

    access = Access(
        allow=options.allow,
        media_root=options.media_root,
        s3_anonymous=options.s3_anonymous,
        media=options.media,
    )
    reviewer = _reviewer(options)
    with _listener(options.port) as listener, interruption.phase("holding"):
        try:
            viewer = Viewer([ViewedOutput(uri, access) for uri in options.outputs], reviewer)
            with contextlib.closing(viewer):
                _serve(viewer, listener, browser=options.browser)
        except (interruption.Interrupted, KeyboardInterrupt):  # the server has passed the signal on
            print("Stopped.", file=sys.stderr)
    return 0


def _serve(viewer: Viewer, listener: socket.socket, *, browser: bool) -> None:
    import uvicorn

    token, port = secrets.token_urlsafe(24), listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}/?token={token}"
    server = uvicorn.Server(
        uvicorn.Config(
            viewer.app(token, port),
            access_log=False,  # it would hold the token
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=3,
            ws="none",
        )
    )
    show(address)
    print("Stop it with Ctrl-C.", file=sys.stderr)
    if browser:
        _open_browser(address, viewer.scratch)
    server.run(sockets=[listener])


def _reviewer(options: ViewOptions) -> str:
    try:
        name = getpass.getuser() if options.reviewer is None else options.reviewer
    except (KeyError, OSError):  # a user without an entry, as in containers
        name = "reviewer"
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(
            f"--reviewer {name[:_LONGEST_NAME]!r}: give a name of 1 to {_LONGEST_NAME} printable"
            " characters."
        )
    return name


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # before the address is said: who opens it at once waits for the server
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"--port {port}: {error.strerror}. Give another one, or leave it out for a free one."
        ) from None
    return listener


def _open_browser(address: str, folder: Path) -> None:
    """Opens the page by a file that only this user can read: other users see the command lines of
    processes."""
    page = folder / "open.html"
    page.write_text(
        f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">'
    )
    webbrowser.open(page.as_uri())
