"""Messages between a process and its sandbox: bytes after their length, and file descriptors with
them.

Messages into the sandbox are pickled. Messages out of it are never unpickled; see `sandbox_codec`.
"""

from __future__ import annotations

import array
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from internvl_ops.errors import KINDS, STAGES, UnitError
from internvl_ops.media.sandbox_codec import decode

_LENGTH = struct.Struct("<Q")
_FIRST_READ = 64 << 10
_ANCILLARY_BYTES = socket.CMSG_LEN(64 * array.array("i").itemsize)

_LONGEST_MESSAGE = 256 << 20  # bytes; large arrays and files are not part of messages


class Blob(NamedTuple):
    """Represents an argument of type bytes that lies in the request memory."""

    offset: int
    size: int


CallOutcome = Literal["result", "unit error", "out of memory", "exception"]


class CallAnswer(NamedTuple):
    """A worker's answer to one call: the result, the `UnitError`, nothing, or a message and a
    traceback."""

    outcome: CallOutcome
    value: Any


class Ended(Exception):
    """The process at the other end has ended."""


def send(
    channel: socket.socket,
    payload: bytes,
    descriptors: Sequence[int] = (),
    timeout_s: float | None = None,
) -> None:
    """Sends one message, with duplicates of open file descriptors.

    Raises:
        Ended: The process at the other end has ended.
        TimeoutError: It did not accept the message within ``timeout_s``.
    """
    message = _LENGTH.pack(len(payload)) + payload
    try:
        channel.settimeout(timeout_s)
        if descriptors:
            sent = socket.send_fds(channel, [message], list(descriptors))
            message = message[sent:]
        channel.sendall(message)
    except (BrokenPipeError, ConnectionResetError):
        raise Ended from None


def receive(channel: socket.socket, timeout_s: float | None = None) -> tuple[bytes, list[int]]:
    """Receives one message and its file descriptors. The two sides take turns, so no second message
    can follow it.

    Raises:
        Ended: The process at the other end has ended.
        TimeoutError: The message was not complete after ``timeout_s``.
        ValueError: The message is longer than allowed.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        channel.settimeout(timeout_s)
        message, ancillary, _, _ = channel.recvmsg(_FIRST_READ, _ANCILLARY_BYTES)
        descriptors = _descriptors(ancillary) if ancillary else []
        if len(message) < _LENGTH.size:
            message += _exactly(channel, _LENGTH.size - len(message), deadline)
        (length,) = _LENGTH.unpack_from(message)
        if length > _LONGEST_MESSAGE:
            raise ValueError(f"a message of {length:,} bytes")
        missing = length + _LENGTH.size - len(message)
        if missing > 0:
            message += _exactly(channel, missing, deadline)
        return message[_LENGTH.size :], descriptors
    except ConnectionResetError:
        raise Ended from None


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        if deadline is not None:
            channel.settimeout(max(deadline - time.monotonic(), 1e-3))
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise Ended
        parts += part
    return bytes(parts)


def read_answer(payload: bytes | memoryview, buffers: Sequence[Any] = ()) -> CallAnswer:
    """Decodes a worker's answer to one call.

    Raises:
        ValueError: The bytes are not an answer; a compromised process may have written them.
        TypeError: Likewise.
    """
    outcome, value = decode(payload, buffers)
    if outcome not in get_args(CallOutcome):
        raise ValueError(f"{outcome!r:.40} is no outcome of a call")
    if outcome == "unit error" and not (
        isinstance(value, UnitError)
        and value.stage in STAGES
        and value.kind in KINDS
        and type(value.attempts) is int
    ):
        raise ValueError(f"{value!r:.80} is no failure of a unit")
    if outcome == "exception" and not (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    ):
        raise ValueError("an exception without its text")
    return CallAnswer(outcome, value)
