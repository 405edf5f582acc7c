"""An image store over HTTP that answers nobody until the engine is ready, so that nobody works
ahead of the clock."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WAIT_S = 300  # longest start of an engine
_GATE = "/open"


@contextmanager
def gated_store(folder: Path) -> Iterator[str]:
    """Serves the files of ``folder`` from memory. Yields the address.

    Requests wait until `open_gate` is called, but for those that end in ``?early``.
    """
    files = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    gate = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == _GATE:
                gate.set()
            path, _, query = self.path.partition("?")
            if query != "early":
                gate.wait(WAIT_S)
            body = files.get(path, b"")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return answer.read()


def open_gate(store: str) -> None:
    get(store + _GATE)


def when_actor_is_ready(stage: str, then: Callable[[], None]) -> None:
    """Calls ``then``, in a thread, once Ray has started the actor of the operator whose name has
    ``stage`` in it."""

    def watch() -> None:
        from ray._private import state  # the public one asks the dashboard, which is not running

        while True:
            try:
                actors = state.actors().values()
            except Exception:  # Ray is not up yet
                actors = []
            if any(
                stage in actor["ActorClassName"] and actor["State"] == "ALIVE" for actor in actors
            ):
                return then()
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
