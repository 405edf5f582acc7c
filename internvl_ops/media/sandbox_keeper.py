"""The process that imports what decoders need, once, and forks the workers of all sandboxes of this
process: the parent's side; `sandbox_child` has the child's."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from internvl_ops.media import sandbox_wire as wire
from internvl_ops.media.sandbox_codec import decode

_START_SECONDS = 300.0  # for importing torch from a slow network disk

_COMMAND = "import sys; from internvl_ops.media.sandbox_child import keep; keep(int(sys.argv[1]))"
# One thread each: there are as many sandboxes as cores.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)
# The variables of the job's environment that a decoder needs; none of them holds credentials.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "VIRTUAL_ENV")


class Keeper:
    """A keeper process. Several threads may use it; it answers one after another.

    `borrow` gives one, and `give_back` ends it once nobody uses it any more.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment, self.parent, self.users = environment, os.getpid(), 0
        self.alive = True
        self.imported: set[str] = set()
        self._turn = threading.Lock()
        self._abandoned: list[int] = []
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                # Ctrl-C in a terminal reaches the job, which then ends this process
                start_new_session=True,
            )
        self._control = ours

    def import_(self, module: str) -> str:
        """Imports a module for the workers that start from now on. Gives the traceback if that
        fails, and else an empty text."""
        if module in self.imported:
            return ""
        failure: str
        failure, _ = self._ask("import", module)
        if not failure:
            self.imported.add(module)
        return failure

    def start(
        self, requests: int, memory_limit: int, readable: Sequence[str]
    ) -> tuple[int, int, int]:
        """Forks a worker: its process id, and the descriptors of its channel and of what it writes
        to stderr. Arguments as of `sandbox_child.keep`'s order of the same name."""
        order = ("start", memory_limit, list(readable))
        pid, (channel, messages) = self._ask(*order, descriptors=(requests,))
        return pid, channel, messages

    def reap(self, pid: int) -> tuple[int, int]:
        """Wait status and peak memory in bytes of a worker that ends or was killed."""
        status, peak = self._ask("reap", pid)[0]
        return status, peak

    def abandon(self, pid: int) -> None:
        """Ends a worker of which nobody wants to know any more. It never waits, since a garbage
        collection may call it at any place, also within another call here."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._abandoned.append(pid)  # it is reaped with the next order

    def _ask(self, *order: Any, descriptors: tuple[int, ...] = ()) -> tuple[Any, list[int]]:
        """Raises `wire.Ended` if the process has ended or is stuck; no caller gets an answer from
        it again."""
        with self._turn:
            if not self.alive:
                raise wire.Ended
            try:
                abandoned = [self._abandoned.pop() for _ in range(len(self._abandoned))]
                message = pickle.dumps((abandoned, *order))
                wire.send(self._control, message, descriptors)
                answer, received = wire.receive(self._control, _START_SECONDS)
                return decode(answer), received
            except TimeoutError:
                self.alive = False
                raise wire.Ended from None
            except BaseException:  # also Ctrl-C: the next order must not read the answer to this
                self.alive = False
                raise

    def close(self) -> None:
        """Ends the process and its workers."""
        self.alive = False
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it is still importing
            self._process.kill()
            self._process.wait()


_registry = threading.RLock()  # a garbage collection may give back within any call here
_keepers: list[Keeper] = []
_held: list[dict[str, str]] = []  # environments


def borrow() -> Keeper:
    """The keeper of this process and its present environment; started if there is none."""
    environment = _environment()
    with _registry:
        for keeper in _keepers:
            same = keeper.environment == environment and keeper.parent == os.getpid()
            if same and keeper.alive:
                keeper.users += 1
                return keeper
        keeper = Keeper(environment)
        keeper.users = 1
        _keepers.append(keeper)
        return keeper


def give_back(keeper: Keeper) -> None:
    """Ends a keeper unless somebody else uses it."""
    with _registry:
        keeper.users -= 1
        _end_unused()


@contextlib.contextmanager
def kept_between_sandboxes() -> Iterator[None]:
    """Lets the keeper of the present environment live until the end of the block, for a process
    that opens many sandboxes one after another: the first one then imports for all."""
    environment = _environment()
    _held.append(environment)
    try:
        yield
    finally:
        _held.remove(environment)
        with _registry:
            _end_unused()


def _end_unused() -> None:
    ended = [
        one for one in _keepers if one.users == 0 and not (one.alive and one.environment in _held)
    ]
    _keepers[:] = [one for one in _keepers if one not in ended]
    for keeper in ended:
        if keeper.parent == os.getpid():
            keeper.close()


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return environment | _ONE_THREAD | {"PYTHONPATH": path}
