"""Functions a sandbox must survive. Importable, because a sandbox's child imports what it runs."""

from __future__ import annotations

import ctypes
import os
import pickle
import platform
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media import sandbox_wire as wire
from internvl_ops.media import shared
from internvl_ops.media.sandbox_memory import Lending


def give_back(value: Any) -> Any:
    return value


def numbers(count: int) -> np.ndarray:
    return np.arange(count)


def shared_numbers(count: int) -> dict[str, np.ndarray]:
    """Two arrays made in shared memory, and a part of one of them."""
    first, second = shared.empty((count,), np.int64), shared.empty((count,), np.int64)
    first[:] = np.arange(count)
    second[:] = first * 2
    return {"first": first, "second": second, "tail": second[count // 2 :]}


def tiled(count: int) -> Any:
    # loads torch, which the other functions can do without
    from internvl_ops.media.image import TiledImage

    return TiledImage(np.ones((count, 3, 448, 448), np.uint8), 5, 7, ["a note"])


def refuse() -> None:
    raise UnitError("decode", "unsupported", "a file nobody can read")


def divide_by_zero() -> float:
    return 1 / 0


def segfault() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def loop() -> None:
    while True:
        pass


def allocate_in_python() -> list[bytearray]:
    return [bytearray(1 << 20) for _ in range(1 << 20)]


def allocate_in_numpy() -> int:
    return int(np.ones(50 << 30, np.uint8)[0])


def allocate_in_torch() -> int:
    import torch

    return int(torch.ones(50 << 30, dtype=torch.uint8)[0])


def allocate_result() -> np.ndarray:
    return shared.empty((50 << 30,))


def abort_for_memory() -> None:
    """As a C++ library does whose allocation fails."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def answer_with_function() -> Any:
    return os.system


def answer_with_lambda() -> Any:
    return lambda: 0


def chatter() -> str:
    print("a decoder's chatter", flush=True)
    print("a decoder's warning", file=sys.stderr, flush=True)
    return "done"


def environment() -> dict[str, str]:
    return dict(os.environ)


def process_numbers() -> tuple[int, int]:
    """The worker's process, and its keeper's."""
    return os.getpid(), os.getppid()


class Command:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def forge_answer(path: str) -> None:
    """What a decoder taken over by its file might do: answer with a pickle that acts when it is
    read."""
    for descriptor in range(3, 64):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
        except OSError:
            continue
        channel = socket.socket(fileno=os.dup(descriptor))
        wire.send(channel, Lending([], [], []).pack() + pickle.dumps(("result", Command(path))))
    loop()


def attempt(what: str, *args: Any) -> Any:
    """What a decoder taken over by its file might try; raises where it is kept from it."""
    return _ATTEMPTS[what](*args)


def _system_call(number: int, *args: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(number, *args)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def _threads() -> list[int]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: number * number, range(4)))


_ATTEMPTS: dict[str, Callable[..., Any]] = {
    "read": lambda path: Path(path).read_text(),
    "list": os.listdir,
    "write": lambda path: Path(path).write_text("changed"),
    "remove": os.unlink,
    "link": lambda path: os.symlink(path, f"{path}.link"),
    "make_folder": lambda path: os.mkdir(f"{path}.folder"),
    "connect": lambda port: socket.create_connection(("127.0.0.1", port), 3),
    "fork": os.fork,
    "run": lambda: subprocess.run(["true"], check=True),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "signal": lambda process: os.kill(process, 0),
    "limit": lambda process: resource.prlimit(process, resource.RLIMIT_CPU, (1, 1)),
    "trace": lambda process: _system_call(
        101 if platform.machine() == "x86_64" else 117, 16, process, 0, 0
    ),
    "socket": socket.socket,
    "namespace": lambda: _system_call(272 if platform.machine() == "x86_64" else 97, 0x10000000),
    "ring": lambda: _system_call(425, 8, ctypes.create_string_buffer(120)),
    "threads": _threads,
    "status": lambda: Path("/proc/self/status").read_text().splitlines(),
}
