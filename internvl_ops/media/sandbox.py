"""Runs a decoder where a crash, a hang or a memory bomb costs one unit and nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import pickle
import queue
import re
import signal
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from internvl_ops.errors import Stage, UnitError
from internvl_ops.media import sandbox_wire as wire

Result = TypeVar("Result")

_START_SECONDS = 300.0  # importing torch from a cold network disk
_BLOB_BYTES = 4 << 10
_MAX_KEPT_REQUEST_BYTES = 64 << 20
_MAX_LENT_BYTES = 1 << 30  # shared memory that results still in use may hold; later results are copied out
_MAX_LENT_SEGMENTS = 64  # each holds a file descriptor

_KEEPER = "import sys; from internvl_ops.media.sandbox_child import keep; keep(int(sys.argv[1]), int(sys.argv[2]))"
# One thread each: there are as many sandboxes as cores. Freed memory is kept for the next image instead of going back
# to the system, which is 5 % faster at 12 megapixels; above 256 MiB it does go back.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=16777216",
}
# All a decoder needs of the job's environment: no credentials among it.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "VIRTUAL_ENV")


class Sandbox:
    """A pool of child processes that run functions on data nobody vouches for.

    Args:
        workers: Calls that may run at once. Use 1 in an actor that has one core; threads then take turns.
        memory_limit: Bytes a call may allocate, above what the imports hold. 4 GiB decodes 200 megapixels.
        stage: What a failure is reported as.

    Example:
        >>> with Sandbox() as sandbox:
        ...     image = sandbox.call(load_image, data, options, timeout_s=30)
    """

    def __init__(self, *, workers: int = 1, memory_limit: int = 4 << 30, stage: Stage = "decode") -> None:
        if workers < 1:
            raise ValueError(f"workers {workers} is not allowed: at least 1 is needed")
        self._stage = stage
        self._children = [_Child(memory_limit) for _ in range(workers)]
        self._free: queue.LifoQueue[_Child] = queue.LifoQueue()  # the last used has the warmest memory
        for child in self._children:
            self._free.put(child)
        self._closer = weakref.finalize(self, _close_all, self._children)

    def call(self, function: Callable[..., Result], *args: Any, timeout_s: float = 60.0) -> Result:
        """Runs ``function(*args)`` in a child process and returns its result.

        Arrays in the result lie in memory shared with the child and are not copied on the way; they are the caller's,
        to keep and to write to. ``bytes`` arguments are copied once.

        Args:
            function: Defined at the top of an importable module; not a lambda, not in ``__main__``.
            args: Anything that can be pickled.
            timeout_s: Seconds the call may take before its process is killed. Starting the process and importing the
                function's module, once, is not counted.

        Raises:
            UnitError: What ``function`` raised as such; "decoder_crashed" when its process died or it raised anything
                else; "timeout"; "too_large" when it hit the memory limit.
            ValueError: ``function`` cannot be imported by the child.
        """
        if function.__module__ == "__main__" or "<" in function.__qualname__:
            raise ValueError(
                f"{function.__module__}.{function.__qualname__} is not allowed in a sandbox: "
                "define it at the top of a module that can be imported"
            )
        child = self._free.get()
        try:
            return child.call(function, args, timeout_s, self._stage)
        finally:
            self._free.put(child)

    def peak_memory(self) -> int:
        """The most bytes any one of the child processes held at a time so far, imports included."""
        return max(child.peak_memory() for child in self._children)

    def close(self) -> None:
        """Ends the child processes. Results stay valid."""
        self._closer()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close_all(children: list[_Child]) -> None:
    for child in children:
        child.close()


class _Child:
    """One keeper process and its present worker; used by one thread at a time."""

    def __init__(self, memory_limit: int) -> None:
        self._memory_limit = memory_limit
        self._keeper: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._worker: _Worker | None = None
        self._imported: set[str] = set()
        self._peak = 0

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], timeout_s: float, stage: Stage) -> Any:
        worker = self._ready(function.__module__)
        request = worker.prepare(function, args)
        try:
            outcome, value = worker.run(request, timeout_s)
        except TimeoutError:
            self._end_worker(kill=True)
            raise UnitError(stage, "timeout", f"decoding took longer than {timeout_s:g} s and was stopped") from None
        except wire.Ended:
            said = worker.messages()
            raise self._told(stage, self._end_worker(), said) from None
        except Exception as error:  # an answer that makes no sense; what follows it on the channel would not either
            self._end_worker(kill=True)
            raise UnitError(stage, "decoder_crashed", f"the decoder's answer cannot be read: {error}") from None
        except BaseException:  # Ctrl-C: the next call must not read the answer to this one
            self._end_worker(kill=True)
            raise
        if outcome == "result":
            return value
        if outcome == "unit error":
            raise value
        if outcome == "out of memory":
            raise self._too_large(stage)
        message, trace = value
        raise UnitError(stage, "decoder_crashed", f"{message}{_place(trace)}")

    def _ready(self, module: str) -> _Worker:
        """Starts whatever is not running, or has died since the last call, as the system's memory killer may do."""
        if self._worker is not None and self._worker.gone():
            self._end_worker()
        try:
            return self._start(module)
        except wire.Ended:
            self.close()
        try:
            return self._start(module)
        except wire.Ended:
            self.close()
            raise RuntimeError("the sandbox's process ended twice while starting; the log says why") from None

    def _start(self, module: str) -> _Worker:
        if self._keeper is None:
            self._start_keeper()
        if module not in self._imported:
            self._import(module)
        if self._worker is None:
            self._worker = self._start_worker()
        return self._worker

    def _told(self, stage: Stage, status: int, said: str) -> UnitError:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return UnitError(stage, "too_large", "the system stopped the decoder, most likely for want of memory")
        if "bad_alloc" in said:
            return self._too_large(stage)
        if os.WIFSIGNALED(status):
            how = f"signal {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            how = f"exit status {os.waitstatus_to_exitcode(status)}"
        return UnitError(stage, "decoder_crashed", f"the decoder ended with {how}{_place(said)}")

    def _too_large(self, stage: Stage) -> UnitError:
        limit = self._memory_limit / (1 << 30)
        return UnitError(stage, "too_large", f"decoding needs more memory than the {limit:.3g} GiB allowed")

    def _start_keeper(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        with theirs:
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", "-c", _KEEPER, str(theirs.fileno()), str(self._memory_limit)],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the job, which then ends this
            )
        self._control = ours
        self._imported.clear()

    def _ask_keeper(self, *order: Any, descriptors: tuple[int, ...] = ()) -> tuple[Any, list[int]]:
        assert self._control is not None
        wire.send(self._control, pickle.dumps(order), descriptors)
        message, received = wire.receive(self._control, _START_SECONDS)
        return wire.loads_result(message), received

    def _import(self, module: str) -> None:
        if self._worker is not None:
            self._end_worker(kill=True)
        failure, _ = self._ask_keeper("import", module)
        if failure:
            raise ValueError(f"module {module} cannot be imported in a sandbox: {failure}")
        self._imported.add(module)

    def _start_worker(self) -> _Worker:
        requests = os.memfd_create("sandbox-request")
        try:
            pid, (channel, messages) = self._ask_keeper("start", descriptors=(requests,))
        except BaseException:
            os.close(requests)
            raise
        return _Worker(pid, socket.socket(fileno=channel), requests, messages)

    def _end_worker(self, *, kill: bool = False) -> int:
        """Ends the worker and returns its wait status; the keeper stays, unless it went as well."""
        assert self._worker is not None
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._worker.pid, signal.SIGKILL)
        self._worker.close()
        self._worker = None
        try:
            (status, peak), _ = self._ask_keeper("reap")
        except (wire.Ended, TimeoutError):
            self.close()
            return signal.SIGKILL
        self._peak = max(self._peak, peak)
        return status

    def peak_memory(self) -> int:
        if self._worker is not None:
            self._peak = max(self._peak, _peak_memory(self._worker.pid))
        return self._peak

    def close(self) -> None:
        if self._worker is not None:
            self._peak = max(self._peak, _peak_memory(self._worker.pid))
            self._worker.close()
            self._worker = None
        if self._control is not None:
            self._control.close()  # at which the keeper ends its worker and itself
            self._control = None
        if self._keeper is not None:
            try:
                self._keeper.wait(timeout=5)
            except subprocess.TimeoutExpired:  # still importing
                self._keeper.kill()
                self._keeper.wait()
            self._keeper = None


class _Worker:
    """The channel to one worker process and the memory shared with it."""

    def __init__(self, pid: int, channel: socket.socket, requests: int, messages: int) -> None:
        self.pid = pid
        self._channel = channel
        self._requests = requests
        self._messages = messages
        self._loan = _Loan()

    def prepare(self, function: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
        return pickle.dumps((function, self._write_blobs(args), self._loan.take_back()))

    def run(self, request: bytes, timeout_s: float) -> tuple[str, Any]:
        wire.send(self._channel, request)
        message, descriptors = wire.receive(self._channel, timeout_s)
        outcome, payload, places, fresh, dropped = wire.loads_result(message)
        self._loan.learn(fresh, descriptors, dropped)
        return outcome, wire.loads_result(payload, self._loan.buffers(places))

    def gone(self) -> bool:
        return wire.gone(self._channel)

    def _write_blobs(self, args: tuple[Any, ...]) -> list[Any]:
        offset = 0
        written = []
        for argument in args:
            if isinstance(argument, bytes) and len(argument) >= _BLOB_BYTES:
                _write(self._requests, argument, offset)
                written.append(wire.Blob(offset, len(argument)))
                offset += len(argument)
            else:
                written.append(argument)
        if offset < _MAX_KEPT_REQUEST_BYTES < os.fstat(self._requests).st_size:
            os.ftruncate(self._requests, _MAX_KEPT_REQUEST_BYTES)
        return written

    def messages(self) -> str:
        """What the worker wrote to stderr during the present call."""
        return os.pread(self._messages, 16 << 10, 0).decode("utf-8", "replace")

    def close(self) -> None:
        self._channel.close()
        os.close(self._requests)
        os.close(self._messages)


class _Loan:
    """Shared memory of one worker: which segments results in this process still use."""

    def __init__(self) -> None:
        self._segments: dict[int, mmap.mmap] = {}
        self._users: dict[int, int] = {}
        self._released: deque[int] = deque()  # filled from any thread in which a result dies

    def learn(self, fresh: list[int], descriptors: list[int], dropped: list[int]) -> None:
        for number, descriptor in zip(fresh, descriptors, strict=True):
            # A file cut short under this process's mapping would kill this process.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            self._segments[number] = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
            os.close(descriptor)
        for number in dropped:
            self._segments.pop(number, None)

    def buffers(self, places: list[tuple[int, int, int]]) -> list[Any]:
        """What the arrays of one result stand on: the shared memory, or a copy when much is lent already."""
        copying = (
            len(self._users) >= _MAX_LENT_SEGMENTS
            or sum(len(self._segments[number]) for number in self._users) > _MAX_LENT_BYTES
        )
        buffers: list[Any] = []
        for number, offset, size in places:
            self._users[number] = self._users.get(number, 0) + 1
            if copying:
                buffers.append(bytearray(memoryview(self._segments[number])[offset : offset + size]))
                self._released.append(number)
                continue
            # A ctypes array: of the things an array can stand on, the one that is its alone and can be watched.
            buffer = (ctypes.c_ubyte * size).from_buffer(self._segments[number], offset)
            weakref.finalize(buffer, self._released.append, number).atexit = False
            buffers.append(buffer)
        return buffers

    def take_back(self) -> list[int]:
        """The segments that no result has come to use any more since it was last asked."""
        unused = []
        while self._released:
            number = self._released.popleft()
            self._users[number] -= 1
            if not self._users[number]:
                del self._users[number]
                unused.append(number)
        return unused


def _place(trace: str) -> str:
    """Where it happened: the innermost line of a Python traceback, or of what faulthandler writes on a crash."""
    raised = re.findall(r'File "(.+?)", line (\d+), in (\S+)', trace)
    crashed = re.findall(r'File "(.+?)", line (\d+) in (\S+)', trace)
    if not raised and not crashed:
        return ""
    path, line, function = raised[-1] if raised else crashed[0]
    return f", in {'/'.join(path.split('/')[-2:])} line {line}, {function}"


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        offset += count
        view = view[count:]


def _peak_memory(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
