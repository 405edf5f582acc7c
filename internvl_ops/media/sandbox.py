"""Runs a decoder in a child process, where a crash, a hang or a memory bomb costs only one unit."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import re
import signal
import socket
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from internvl_ops.errors import Stage, UnitError, keyword
from internvl_ops.media import sandbox_wire as wire
from internvl_ops.media.sandbox_keeper import Keeper, borrow, give_back
from internvl_ops.media.sandbox_memory import Lending, Loan

Result = TypeVar("Result")

_BLOB_BYTES = 4 << 10
_MAX_KEPT_REQUEST_BYTES = 64 << 20


class Sandbox:
    """A pool of child processes that run functions on untrusted data.

    A crash, a hang, a memory bomb or an invalid result fails only the call in which it happens. If
    a file takes over a decoder, the decoder can read libraries and the paths in ``readable``, and
    falsify later results of its process. It reaches no other file, process or address, as far as
    the kernel can confine it; see `sandbox_confinement`.

    Args:
        workers: Maximum number of parallel calls. Use 1 in an actor that has one core; threads then
            take turns.
        memory_limit: Bytes that a call may allocate, beyond the memory of the imports. 4 GiB
            decodes 200 megapixels.
        stage: The stage of reported failures.
        preload: Modules that the functions import when they run. They are imported in advance, so
            that they count neither towards the time nor towards the memory of a call.
        readable: Files and folders that the functions may open besides libraries.

    Example:
        >>> with Sandbox() as sandbox:
        ...     image = sandbox.call(load_image, data, options, timeout_s=30)
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        memory_limit: int = 4 << 30,
        stage: Stage = "decode",
        preload: Sequence[str] = (),
        readable: Sequence[str] = (),
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers {workers} is not allowed: at least 1 is needed")
        self._stage = stage
        self._children = [_Child(memory_limit, preload, readable) for _ in range(workers)]
        self._free: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._children:
            self._free.put(child)
        self._closer = weakref.finalize(self, _close_all, self._children)

    def call(self, function: Callable[..., Result], *args: Any, timeout_s: float = 60.0) -> Result:
        """Runs ``function(*args)`` in a child process and returns its result.

        Arrays in the result lie in memory shared with the child and are not copied. The caller owns
        them, and may keep and modify them. ``bytes`` arguments are copied once.

        Args:
            function: Defined at the top of an importable module; not a lambda, not in ``__main__``.
            args: Anything that can be pickled.
            timeout_s: Seconds after which the process is killed. Starting the process and importing
                the function's module, once, do not count.

        Raises:
            UnitError: Raised by ``function`` itself; "decoder_crashed" if its process died or it
                raised another type; "timeout"; "too_large" if it reached the memory limit.
            ValueError: The child cannot import ``function``.
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
        """The highest number of bytes that any child process has held so far, including imports."""
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
    """One worker process, forked anew when it dies; used by one thread at a time."""

    def __init__(self, memory_limit: int, preload: Sequence[str], readable: Sequence[str]) -> None:
        self._memory_limit, self._preload, self._readable = memory_limit, preload, readable
        self._keeper: Keeper | None = None
        self._worker: _Worker | None = None
        self._imported: set[str] = set()  # in the worker
        self._peak = 0

    def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], timeout_s: float, stage: Stage
    ) -> Any:
        worker = self._send(function, args, timeout_s)
        try:
            outcome, value = worker.receive(timeout_s)
        except TimeoutError:
            self._end_worker()
            said = f"decoding took longer than {timeout_s:g} s and was stopped"
            mend = f"if files are as large as this, raise {keyword('decode_timeout_s')}"
            raise UnitError(stage, "timeout", f"{said}; {mend}") from None
        except wire.Ended:
            said = worker.messages()
            raise self._death(stage, self._end_worker(), said) from None
        # an invalid answer; what follows it on the channel would be invalid too
        except Exception as error:
            self._end_worker()
            raise UnitError(
                stage, "decoder_crashed", f"the decoder's answer cannot be read: {error}"
            ) from error
        except BaseException:  # Ctrl-C: the next call must not read the answer to this one
            self._end_worker()
            raise
        if outcome == "result":
            return value
        if outcome == "unit error":
            raise value
        if outcome == "out of memory":
            raise self._too_large(stage)
        message, trace = value
        raise UnitError(stage, "decoder_crashed", f"{message}{_place(trace)}")

    def _send(
        self, function: Callable[..., Any], args: tuple[Any, ...], timeout_s: float
    ) -> _Worker:
        """Sends a call. First starts processes that are not running, or that the system's memory
        killer has ended."""
        for _ in range(3):
            try:
                worker = self._start(function.__module__)
                worker.send(function, args, timeout_s)
                return worker
            except wire.Ended:
                if self._worker is None:
                    self.close()  # the keeper
                else:
                    self._end_worker()
        raise RuntimeError(
            "the sandbox's process ended three times while starting; the log says why"
        )

    def _start(self, module: str) -> _Worker:
        keeper = self._keeper = self._keeper or borrow()
        for wanted in (*self._preload, module):
            if wanted not in self._imported:
                self._import(keeper, wanted)
        if self._worker is None:
            self._worker = self._start_worker(keeper)
        return self._worker

    def _import(self, keeper: Keeper, module: str) -> None:
        if self._worker is not None:
            self._end_worker()
        if failure := keeper.import_(module):
            raise ValueError(f"module {module} cannot be imported in a sandbox: {failure}")
        self._imported.add(module)

    def _start_worker(self, keeper: Keeper) -> _Worker:
        requests = os.memfd_create("sandbox-request")
        try:
            pid, channel, messages = keeper.start(requests, self._memory_limit, self._readable)
        except BaseException:
            os.close(requests)
            raise
        return _Worker(pid, socket.socket(fileno=channel), requests, messages)

    def _death(self, stage: Stage, status: int, said: str) -> UnitError:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return UnitError(
                stage, "too_large", "the system stopped the decoder, most likely for want of memory"
            )
        if "bad_alloc" in said:
            return self._too_large(stage)
        if os.WIFSIGNALED(status):
            how = f"signal {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            how = f"exit status {os.waitstatus_to_exitcode(status)}"
        return UnitError(stage, "decoder_crashed", f"the decoder ended with {how}{_place(said)}")

    def _too_large(self, stage: Stage) -> UnitError:
        limit = self._memory_limit / (1 << 30)
        return UnitError(
            stage, "too_large", f"decoding needs more memory than the {limit:.3g} GiB allowed"
        )

    def _end_worker(self) -> int:
        """Ends the worker and returns its wait status; the keeper keeps running, unless it has died
        too."""
        assert self._worker is not None
        assert self._keeper is not None
        worker, self._worker = self._worker, None
        # Has no effect if the worker has already died. Its number cannot belong to another process
        # yet, because the keeper reaps the worker only on request.
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        worker.close()
        try:
            status, peak = self._keeper.reap(worker.pid)
        except wire.Ended:
            self.close()
            return signal.SIGKILL
        self._peak = max(self._peak, peak)
        return status

    def peak_memory(self) -> int:
        if self._worker is not None:
            self._peak = max(self._peak, _peak_memory(self._worker.pid))
        return self._peak

    def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        worker, self._worker = self._worker, None
        self._imported.clear()
        if keeper is None:
            return
        if worker is not None:
            self._peak = max(self._peak, _peak_memory(worker.pid))
            worker.close()
            keeper.abandon(worker.pid)
        give_back(keeper)


class _Worker:
    """The channel to one worker process and the memory shared with it."""

    def __init__(self, pid: int, channel: socket.socket, requests: int, messages: int) -> None:
        self.pid = pid
        self._channel = channel
        self._requests = requests
        self._request_bytes = 0
        self._messages = messages
        self._loan = Loan()

    def send(self, function: Callable[..., Any], args: tuple[Any, ...], timeout_s: float) -> None:
        arguments = self._write_blobs(args)
        unused = self._loan.take_back()
        try:
            message = pickle.dumps((unused, function, arguments), pickle.HIGHEST_PROTOCOL)
        except Exception:
            self._loan.keep(unused)  # reported with the next call
            raise
        try:
            wire.send(self._channel, message, timeout_s=timeout_s)
        except TimeoutError:  # an idle worker accepts a message at once, so this one is stuck
            raise wire.Ended from None

    def receive(self, timeout_s: float) -> wire.CallAnswer:
        message, descriptors = wire.receive(self._channel, timeout_s)
        lending, payload = Lending.unpack(message)
        return wire.read_answer(payload, self._loan.accept(lending, descriptors))

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
        if offset < _MAX_KEPT_REQUEST_BYTES < self._request_bytes:
            os.ftruncate(self._requests, _MAX_KEPT_REQUEST_BYTES)
            self._request_bytes = _MAX_KEPT_REQUEST_BYTES
        self._request_bytes = max(self._request_bytes, offset)
        return written

    def messages(self) -> str:
        """What the worker wrote to stderr during the current call."""
        return os.pread(self._messages, 16 << 10, 0).decode("utf-8", "replace")

    def close(self) -> None:
        self._channel.close()
        os.close(self._requests)
        os.close(self._messages)


def _place(trace: str) -> str:
    """The location of a failure: the innermost line of a Python traceback or of faulthandler's
    output on a crash."""
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
