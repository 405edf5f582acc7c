"""An object store over HTTP on this machine: moto's server, which speaks S3."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def object_store(*, own_process: bool = False) -> Iterator[dict[str, str]]:
    """Runs the store; yields the environment that leads to it.

    Args:
        own_process: Whether it runs in a process of its own, for clients in other processes, or
            that block this one while they wait. In this one it starts sooner.
    """
    with _process() if own_process else _thread() as address:
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret-9f2c",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextmanager
def _thread() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # half a second, and few tests need it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def _process() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
