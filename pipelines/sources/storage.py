"""Opens and lists inputs through the stores of `internvl_ops.stores`, decompressed by suffix."""

from __future__ import annotations

import io
import lzma
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.base import BLOCK, EntryKind, Settings, Store
from internvl_ops.stores.opening import refuse_keys, store_of
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.schemes import (
    LOCAL,
    SCHEME,
    canonical,
    read_schemes,
    scheme_named,
    scheme_of,
    split_uri,
)
from pipelines.sources.gzip_stream import GzipStream
from pipelines.sources.options import Split

T = TypeVar("T")

_LOOKED_AT = 2_000
_CONNECTIONS = 32
_COMPRESSION = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".tgz": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
}
_MAGIC = re.compile(r"[*?\[{]")
_FILE = re.compile(r"^file:(//(localhost)?)?(?=/)", re.IGNORECASE)
_BRACES = re.compile(r"\{(?:\d+\.\.\d+|[^{}]*,[^{}]*)\}")


def check_scheme(option: str, uri: str) -> str:
    """The input's URI in canonical form, without a trailing slash; a local path is absolute.

    Raises:
        ConfigurationError: No store has its scheme, or it names no bucket.
    """
    if not uri:
        raise ConfigurationError(
            f"{option} is empty; give a local path or a URI of a store, such as s3://bucket/folder."
        )
    if _FILE.match(uri):
        uri = _path_of(uri)
    match = SCHEME.match(uri)
    if match and scheme_named(match[1]) is None:
        raise ConfigurationError(
            f"{option} {safe_uri(uri)}: scheme '{match[1]}' is not read; allowed are"
            f" {read_schemes()}. Copy the manifest there; its media may still be http(s)://"
            " addresses."
        )
    plain = canonical(uri)
    if is_local(plain):
        return os.path.abspath(os.path.expanduser(plain))
    refuse_keys(option, plain)
    return plain.rstrip("/") if split_uri(plain)[0] else plain


def is_local(uri: str) -> bool:
    """Whether the URI is of a local file, so that each request for it is quick."""
    return scheme_of(uri) is LOCAL


def names_place(uri: str) -> bool:
    """Whether the URI names a folder of a bucket or an object in it, or a local path, and not a
    whole bucket."""
    return is_local(uri) or bool(split_uri(uri)[1])


def _path_of(uri: str) -> str:
    """The path of a ``file:`` URI, whose characters may be quoted. A path that exists as it is
    written comes first."""
    path = _FILE.sub("", uri)
    plain = unquote(path)
    return plain if plain != path and not os.path.lexists(path) and os.path.lexists(plain) else path


def has_magic(uri: str) -> bool:
    """Whether the URI is a glob. A path that exists literally is not."""
    # a question mark begins a query, and no server lists what would match
    if not scheme_of(uri).lists:
        return bool(_BRACES.search(uri))
    if not _MAGIC.search(uri):
        return False
    return not os.path.lexists(uri) if is_local(uri) else kind_of(uri) is None


def split_glob(uri: str) -> tuple[str, str]:
    """Splits a glob into the folder before its first wildcard and the pattern relative to that
    folder."""
    parts = uri.split("/")
    first = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    return "/".join(parts[:first]) or "/", "/".join(parts[first:])


def kind_of(uri: str) -> EntryKind | None:
    """The kind of entry at the URI; ``None`` if there is none. Raises OSError if the storage does
    not answer."""
    return store(uri).kind(uri)


def lists(uri: str) -> bool:
    """Whether folders of the URI's store can be listed."""
    return scheme_of(uri).lists


def parent_of(uri: str) -> str:
    """Folder or prefix that contains the file, without a trailing slash."""
    return without_query(uri).rpartition("/")[0] or "/"


def name_of(uri: str) -> str:
    """The file's name."""
    return without_query(uri).rpartition("/")[2]


def without_query(uri: str) -> str:
    """An address without its query, which may hold a signature; any other URI unchanged."""
    return uri if scheme_of(uri).lists else re.split(r"[?#]", uri, maxsplit=1)[0]


def suffix_of(name: str) -> str:
    """Lower-case suffix of a file name, ignoring that of a compression: ``.jsonl`` for
    ``a.jsonl.gz``."""
    stem, suffix = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if suffix in _COMPRESSION and suffix != ".tgz" else suffix


def is_compressed(uri: str) -> bool:
    return _codec(uri) is not None


def _codec(uri: str) -> str | None:
    return _COMPRESSION.get(os.path.splitext(without_query(uri).lower())[1])


def open_input(uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
    """Opens a file for reading, seekable.

    Args:
        block_size: Bytes that a request to a store reads ahead; fewer for a look at the head,
            ``None`` for a reader that requests exactly what it needs.
    """
    return store(uri).open(uri, block_size=block_size)


def open_stream(uri: str, *, block_size: int = BLOCK) -> tuple[Any, Watched]:
    """Opens a file for reading from front to back, decompressed by suffix.

    Returns:
        The stream of plain bytes, and the file below it. If reading the stream fails,
        ``file.failed`` tells a failed storage from damaged contents.
    """
    import pyarrow as pa

    file = Watched(open_input(uri, block_size=block_size))
    codec = _codec(uri)
    if codec == "xz":
        return lzma.LZMAFile(cast(BinaryIO, file)), file  # Arrow cannot read xz
    if codec == "gzip":
        return GzipStream(file), file
    return (pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) if codec else file), file


class Watched(io.RawIOBase):
    """A file that remembers whether a read of it failed, because decoders replace the exception
    with their own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failed: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except BaseException as error:
            self.failed = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def walk(root: str, *, recursive: bool = True, beginning: str = "") -> Iterator[str]:
    """Lists the files below a directory or prefix, sorted, relative to it; leaves out hidden files
    and folders.

    Streams: a page of keys at a time in buckets, elsewhere one directory at a time.

    Args:
        beginning: Prefix of the wanted names. In buckets, names with another prefix are not listed.
    """
    yield from store(root).walk(root, recursive=recursive, beginning=beginning)


def look_at(splits: Sequence[Split], look: Callable[[Split], T]) -> list[tuple[Split, T]]:
    """Calls ``look`` on each split, in stores many at a time; with more than 2,000 files, only on a
    sample."""
    chosen = splits[:: -(-len(splits) // _LOOKED_AT) or 1]
    if not chosen or is_local(chosen[0].uri):
        return [(split, look(split)) for split in chosen]
    store(chosen[0].uri)  # opened once, before the threads start
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(zip(chosen, pool.map(look, chosen), strict=True))


def present(uris: Sequence[str]) -> list[bool]:
    """Whether there is something at each URI; asks for many at a time."""
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(pool.map(lambda uri: kind_of(uri) is not None, uris))


_settings = Settings()


def read_with(settings: Settings) -> None:
    """Sets how this process reads inputs. Outputs are not affected."""
    global _settings
    _settings = settings


def store(uri: str) -> Store:
    """The store of an input."""
    return store_of(uri, _settings)
