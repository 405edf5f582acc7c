"""The other side of `sandbox.Sandbox`: a keeper process that imports once, and the worker it forks to do the work.

The keeper never touches a file from outside. When a worker dies, the next one is a fork away, imports and all.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import mmap
import os
import pickle
import resource
import signal
import socket
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media import sandbox_wire as wire
from internvl_ops.media import shared

_PR_SET_PDEATHSIG = 1
_OUT_OF_BAND_BYTES = 64 << 10  # smaller arrays travel inside the message
_MAX_IDLE_BYTES = 256 << 20  # shared memory kept for the next results
_SEGMENT_GRANULE = 1 << 20


# ---------------------------------------------------------------- keeper


def keep(control_descriptor: int, memory_limit: int) -> NoReturn:
    """Runs the keeper: answers "import", "start" and "reap" until its parent goes, then ends with its worker."""
    control = socket.socket(fileno=control_descriptor)
    worker = 0
    while True:
        try:
            message, descriptors = wire.receive(control)
        except wire.Ended:
            if worker:
                os.kill(worker, signal.SIGKILL)
            os._exit(0)
        order, *details = pickle.loads(message)
        if order == "import":
            answer(control, _import(details[0]))
        elif order == "start":
            worker = _start(control, descriptors[0], memory_limit)
        elif order == "reap":
            _, status, usage = os.wait4(worker, 0)
            worker = 0
            answer(control, (status, usage.ru_maxrss * 1024))


def answer(channel: socket.socket, value: Any, descriptors: tuple[int, ...] = ()) -> None:
    with contextlib.suppress(wire.Ended):  # noticed by the next receive
        wire.send(channel, pickle.dumps(value), descriptors)


def _import(module: str) -> str:
    """Returns the traceback, empty when all went well."""
    try:
        importlib.import_module(module)
    except Exception:
        return traceback.format_exc(limit=-4)
    gc.collect()
    gc.freeze()  # what is imported stays shared between keeper and workers
    return ""


def _start(control: socket.socket, requests: int, memory_limit: int) -> int:
    ours, theirs = socket.socketpair()
    messages = os.memfd_create("sandbox-stderr")
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            ours.close()
            _confine(messages, memory_limit)
            Worker(theirs, requests).serve()
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


def _confine(messages: int, memory_limit: int) -> None:
    """Limits this process and ties its life to the keeper's."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(messages, 1)
    os.dup2(messages, 2)
    faulthandler.enable(file=2, all_threads=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # RLIMIT_AS would count libraries and address space that is reserved but never used; this counts what can be
    # written. Above what the imports already hold.
    limit = _written_memory() + memory_limit
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory_limit, memory_limit))  # the shared memory of results
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # if the machine runs out of memory nevertheless, this process goes and not the job's


def _written_memory() -> int:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


# ---------------------------------------------------------------- worker


class Worker:
    """Runs one function after another and hands out the shared memory their results are written to."""

    def __init__(self, channel: socket.socket, requests: int) -> None:
        self._channel = channel
        self._requests = requests
        self._segments: dict[int, mmap.mmap] = {}
        self._idle: dict[int, int] = {}  # number -> size; the parent does not use these
        self._used: dict[int, int] = {}  # number -> address; handed out during this call
        self._unsent: dict[int, int] = {}  # number -> descriptor; the parent has not mapped these yet
        self._last = 0
        shared.allocate = self.allocate

    def serve(self) -> None:
        while True:
            try:
                message, _ = wire.receive(self._channel)
            except wire.Ended:
                return
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
            outcome, value = self._run(message)
            self._reply(outcome, value)

    def _run(self, message: bytes) -> tuple[str, Any]:
        try:
            function, arguments, returned = pickle.loads(message)
            for number in returned:
                self._idle[number] = len(self._segments[number])
            return "result", function(*[self._argument(argument) for argument in arguments])
        except UnitError as error:
            return "unit error", error
        except MemoryError:
            return "out of memory", ""
        except Exception as error:
            if "can't allocate memory" in str(error) or "Cannot allocate memory" in str(error):
                return "out of memory", ""
            return "exception", (f"{type(error).__name__}: {error}", traceback.format_exc(limit=-6))

    def _argument(self, argument: Any) -> Any:
        if not isinstance(argument, wire.Blob):
            return argument
        return _read(self._requests, argument)

    def allocate(self, size: int) -> memoryview:
        fitting = [number for number, capacity in self._idle.items() if capacity >= size]
        if fitting:
            number = min(fitting, key=self._idle.__getitem__)
            del self._idle[number]
        else:
            number = self._new_segment(-(-max(size, 1) // _SEGMENT_GRANULE) * _SEGMENT_GRANULE)
        view = memoryview(self._segments[number])
        self._used[number] = np.frombuffer(view, np.uint8).ctypes.data
        return view[:size]

    def _new_segment(self, capacity: int) -> int:
        descriptor = os.memfd_create("sandbox-result", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, capacity)
            segment = mmap.mmap(descriptor, capacity)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(f"no shared memory for a result of {capacity:,} bytes") from error
        self._last += 1
        self._segments[self._last] = segment
        self._unsent[self._last] = descriptor
        return self._last

    def _reply(self, outcome: str, value: Any) -> None:
        places: list[tuple[int, int, int]] = []
        try:
            payload = pickle.dumps(value, protocol=5, buffer_callback=self._place_into(places))
        except MemoryError:
            outcome, payload, places = "out of memory", pickle.dumps(""), []
        except Exception as error:  # a result that cannot be pickled
            outcome, payload, places = "exception", pickle.dumps((f"{type(error).__name__}: {error}", "")), []
        lent = {number for number, _, _ in places}
        for number in self._used.keys() - lent:
            self._idle[number] = len(self._segments[number])
        self._used.clear()
        fresh = [number for number in lent if number in self._unsent]
        descriptors = [self._unsent.pop(number) for number in fresh]
        dropped = self._drop_idle()
        wire.send(self._channel, pickle.dumps((outcome, payload, places, fresh, dropped)), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _place_into(self, places: list[tuple[int, int, int]]) -> Callable[[pickle.PickleBuffer], bool]:
        def place(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _OUT_OF_BAND_BYTES:
                return True  # inside the message
            address = np.frombuffer(raw, np.uint8).ctypes.data
            for number, start in self._used.items():
                if start <= address < start + len(self._segments[number]):
                    places.append((number, address - start, raw.nbytes))
                    return False
            view = self.allocate(raw.nbytes)
            view[:] = raw
            places.append((next(reversed(self._used)), 0, raw.nbytes))
            return False

        return place

    def _drop_idle(self) -> list[int]:
        """Lets go of idle memory above the limit; the parent does so on reading the numbers."""
        dropped = []
        excess = sum(self._idle.values()) - _MAX_IDLE_BYTES
        for number in sorted(self._idle, key=self._idle.__getitem__, reverse=True):
            if excess <= 0:
                break
            excess -= self._idle.pop(number)
            del self._segments[number]
            if number in self._unsent:
                os.close(self._unsent.pop(number))
            dropped.append(number)
        return dropped


def _read(descriptor: int, blob: wire.Blob) -> bytes:
    data = os.pread(descriptor, blob.size, blob.offset)
    while len(data) < blob.size:  # one call reads at most 2 GiB
        data += os.pread(descriptor, blob.size - len(data), blob.offset + len(data))
    return data
