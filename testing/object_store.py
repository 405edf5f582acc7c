"""An object store over HTTP on this machine: moto's server, which speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def object_store() -> Iterator[str]:
    """Runs the store; yields its address."""
    from moto.server import ThreadedMotoServer  # half a second, and few tests need it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
