"""Frame images that form a video, in a folder or a list, packed into one archive.

As one archive, a folder is fetched, kept, limited and decoded like any file; see `frame_folder`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.sniff import sniffed

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
_DIGITS = re.compile(r"(\d+)")


def frame_names(names: Iterable[str], pattern: str = "*") -> list[str]:
    """The names of frame images among ``names``, in ascending order; numbers in names are compared
    as numbers."""
    chosen = [
        name
        for name in names
        if name.lower().endswith(FRAME_SUFFIXES) and fnmatch.fnmatch(name, pattern)
    ]
    return sorted(
        (name for name in chosen if not os.path.basename(name).startswith(".")), key=_natural
    )


def pack_frames(frames: Iterable[tuple[str, bytes]]) -> bytes:
    """One archive of frame images, given as (name, bytes) pairs."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in frames:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()


def read_frame_folder(path: str, read: Callable[[str], bytes], max_bytes: int) -> bytes:
    """Packs the frame images of a local folder, in the order of their names.

    Args:
        path: The folder, or a glob of names in it, such as ``/data/clip/*.jpg``.
        read: Returns the bytes of one file; raises if it may not be read.
        max_bytes: Maximum bytes of all frames together.

    Raises:
        UnitError: Stage "fetch"; "not_found" if there is no such frame, "too_large".
    """
    folder, names = _listed(path)
    if not names:
        message = f"{path} holds no frame images ({', '.join(FRAME_SUFFIXES)})"
        raise UnitError("fetch", "not_found", message)
    frames, size = [], 0
    for name in names:
        frames.append((name, read(os.path.join(folder, name))))
        size += len(frames[-1][1])
        check_size(path, size, max_bytes)
    return pack_frames(frames)


def frame_folder_version(path: str) -> str:
    """Identifies the state of a folder of frames by the names, sizes and dates of its files."""
    folder, names = _listed(path)
    states = [
        (name, status.st_size, status.st_mtime_ns)
        for name in names
        if (status := os.stat(f"{folder}/{name}"))
    ]
    return hashlib.blake2b(repr(states).encode(), digest_size=12).hexdigest()


def check_size(name: str, size: int, max_bytes: int) -> None:
    """Raises UnitError if all frames together have more bytes than one file may have."""
    if size > max_bytes:
        message = f"the frames of {name} have more than {max_bytes:,} bytes together"
        raise UnitError(
            "fetch", "too_large", f"{message}. Raise {keyword('max_bytes')} to read them"
        )


def is_frame_folder(path: str) -> bool:
    """Whether a real local path denotes a folder of frames: a folder, or a glob of names that is
    not a file's name."""
    if os.path.isdir(path):
        return True
    folder, name = os.path.split(path)
    return (
        any(sign in name for sign in "*?") and not os.path.lexists(path) and os.path.isdir(folder)
    )


def frames_of(files: Iterable[bytes | str | UnitError]) -> list[bytes] | None:
    """The files' bytes if all of them are images; None if any is not, or is a GIF, which is itself
    a video.

    Args:
        files: Their bytes, local paths, or errors.
    """
    frames = []
    for file in files:
        if isinstance(file, UnitError):
            return None
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        if sniffed(data[: 64 << 10]).family != "image" or data.startswith(b"GIF8"):
            return None
        frames.append(data)
    return frames


def _listed(path: str) -> tuple[str, list[str]]:
    folder, pattern = (path, "*") if os.path.isdir(path) else os.path.split(path)
    return folder, frame_names(os.listdir(folder), pattern)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]
