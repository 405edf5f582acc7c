"""The child's side of `sandbox.Sandbox`: a keeper process that imports once and forks the workers.

The keeper never touches untrusted data. When a worker dies, the keeper forks the next one with all
imports in place.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import os
import pickle
import resource
import signal
import socket
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from internvl_ops.errors import UnitError
from internvl_ops.media import sandbox_wire as wire
from internvl_ops.media import shared
from internvl_ops.media.sandbox_codec import encode
from internvl_ops.media.sandbox_confinement import confine
from internvl_ops.media.sandbox_memory import Lender

_PR_SET_PDEATHSIG = 1


# ---------------------------------------------------------------- keeper


def keep(control_descriptor: int) -> NoReturn:
    """Runs the keeper until its parent ends, then ends with its workers. It handles these orders,
    each after the numbers of workers that are to be reaped and told nobody:

    - "import", a module: gives the traceback if that fails, and else an empty text.
    - "start", the bytes that the worker may allocate, the paths that it may read, and the
      descriptor of its requests: gives its number and two descriptors, a channel to it and what it
      writes to stderr.
    - "reap", a worker that has ended or is about to: gives its wait status and its peak memory in
      bytes.
    """
    control = socket.socket(fileno=control_descriptor)
    # finds a folder by writing to it, which a worker cannot do, and remembers it
    tempfile.gettempdir()
    workers: set[int] = set()
    while True:
        try:
            message, descriptors = wire.receive(control)
        except wire.Ended:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            os._exit(0)
        abandoned, order, *details = pickle.loads(message)
        for worker in abandoned:
            workers.remove(worker)
            os.waitpid(worker, 0)
        if order == "import":
            answer(control, _import(details[0]))
        elif order == "start":
            workers.add(_start(control, descriptors[0], *details))
        elif order == "reap":
            workers.remove(details[0])
            _, status, usage = os.wait4(details[0], 0)
            answer(control, (status, usage.ru_maxrss * 1024))


def answer(channel: socket.socket, value: Any, descriptors: tuple[int, ...] = ()) -> None:
    with contextlib.suppress(wire.Ended):  # the next receive detects it
        wire.send(channel, encode(value, lambda _: None), descriptors)


def _import(module: str) -> str:
    """Returns the traceback; empty if the import succeeded."""
    try:
        importlib.import_module(module)
    except Exception:
        return traceback.format_exc(limit=-4)
    gc.collect()
    gc.freeze()  # imported modules stay shared between keeper and workers
    return ""


def _start(
    control: socket.socket, requests: int, memory_limit: int, readable: Sequence[str]
) -> int:
    ours, theirs = socket.socketpair()
    messages = os.memfd_create("sandbox-stderr")
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            ours.close()
            _limit(messages, memory_limit)
            confine(readable)
            FunctionServer(theirs, requests).serve()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    answer(control, pid, (ours.fileno(), messages))
    ours.close()
    theirs.close()
    os.close(messages)
    os.close(requests)
    return pid


def _limit(messages: int, memory_limit: int) -> None:
    """Limits this process's resources, and makes it end with the keeper."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(messages, 1)
    os.dup2(messages, 2)
    faulthandler.enable(file=2, all_threads=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # RLIMIT_AS would also count libraries and address space that is reserved but never used; this
    # limit counts writable memory, in addition to what the imports already hold.
    limit = _written_memory() + memory_limit
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # the shared memory of results
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory_limit, memory_limit))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        # if the machine runs out of memory, the kernel kills this process and not the job's
        score.write("1000")


def _written_memory() -> int:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


# ---------------------------------------------------------------- worker


class FunctionServer:
    """Runs one function after another."""

    def __init__(self, channel: socket.socket, requests: int) -> None:
        self._channel = channel
        self._requests = requests
        self._lender = Lender()
        shared.allocate = self._lender.allocate

    def serve(self) -> None:
        while True:
            try:
                message, _ = wire.receive(self._channel)
            except wire.Ended:
                return
            if os.lseek(2, 0, os.SEEK_END):  # the last call's output
                os.ftruncate(2, 0)
                os.lseek(2, 0, os.SEEK_SET)
            self._reply(*self._run(message))

    def _run(self, message: bytes) -> wire.CallAnswer:
        try:
            unused, function, arguments = pickle.loads(message)
            self._lender.take_back(unused)
            return wire.CallAnswer(
                "result", function(*[self._argument(argument) for argument in arguments])
            )
        except UnitError as error:
            return wire.CallAnswer("unit error", error)
        except Exception as error:
            return _failure(error)

    def _argument(self, argument: Any) -> Any:
        if not isinstance(argument, wire.Blob):
            return argument
        return _read(self._requests, argument)

    def _reply(self, outcome: wire.CallOutcome, value: Any) -> None:
        try:
            payload, lending = self._lender.encode((outcome, value))
        except Exception as error:  # the result cannot be encoded
            payload, lending = self._lender.encode(tuple(_failure(error)))
        lending, descriptors = self._lender.settle(lending)
        wire.send(self._channel, lending.pack() + payload, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _failure(error: Exception) -> wire.CallAnswer:
    if isinstance(error, MemoryError) or "allocate memory" in str(error):  # torch's message
        return wire.CallAnswer("out of memory", None)
    return wire.CallAnswer(
        "exception", (f"{type(error).__name__}: {error}", traceback.format_exc(limit=-6))
    )


def _read(descriptor: int, blob: wire.Blob) -> bytes:
    data = os.pread(descriptor, blob.size, blob.offset)
    while len(data) < blob.size:  # one call reads at most 2 GiB
        data += os.pread(descriptor, blob.size - len(data), blob.offset + len(data))
    return data
