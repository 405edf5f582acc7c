"""Opens and lists inputs, local or on S3, through the same functions."""

from __future__ import annotations

import functools
import io
import lzma
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Literal, TypeVar, cast

from internvl_ops.errors import ConfigurationError
from internvl_ops.media import s3_config
from internvl_ops.redaction import safe_uri
from pipelines.sources.options import Split

T = TypeVar("T")

S3 = "s3://"
_BLOCK = 8 << 20
_KEYS_A_PAGE = 1_000
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
_SPARKS_S3 = re.compile(r"^s3[an]://")  # Hadoop's spelling


def check_scheme(option: str, uri: str) -> str:
    """Returns the input URI without a trailing slash; makes local paths absolute. Refuses unsupported schemes."""
    if uri.startswith("file://"):
        uri = uri[len("file://") :]
    uri = _SPARKS_S3.sub(S3, uri)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    if scheme and uri.startswith(S3):
        s3_config.refuse_keys(option, uri)
        return uri.rstrip("/") if len(uri.rstrip("/")) > len(S3) - 1 else uri
    if scheme:
        raise ConfigurationError(
            f"{option} {safe_uri(uri)}: scheme '{scheme[1]}' is not read; allowed are local paths and s3://. "
            "Copy the manifest there; its media may still be http(s):// addresses."
        )
    if not uri:
        raise ConfigurationError(f"{option} is empty; give a local path or an s3:// URI.")
    return os.path.abspath(os.path.expanduser(uri))


def has_magic(uri: str) -> bool:
    """Whether the URI is a glob. A path that exists literally is not."""
    if not _MAGIC.search(uri):
        return False
    return kind_of(uri) is None if uri.startswith(S3) else not os.path.lexists(uri)


def split_glob(uri: str) -> tuple[str, str]:
    """Splits a glob into the folder before its first wildcard and the pattern relative to that folder."""
    parts = uri.split("/")
    first = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    return "/".join(parts[:first]) or "/", "/".join(parts[first:])


def kind_of(uri: str) -> Literal["file", "directory"] | None:
    """The kind of entry at the URI; ``None`` if there is none. Raises OSError if the storage does not answer."""
    if uri.startswith(S3):
        try:
            info = s3().info(uri)
        except FileNotFoundError:
            return None
        if info["type"] == "file" and not info["size"] and next(walk(uri), None) is not None:
            return "directory"  # an empty object that some tools write for a folder
        return "file" if info["type"] == "file" else "directory"
    try:
        mode = os.stat(uri).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return "directory" if stat.S_ISDIR(mode) else "file"


def parent_of(uri: str) -> str:
    """Folder or prefix that contains the file, without a trailing slash."""
    return uri.rpartition("/")[0] or "/"


def suffix_of(name: str) -> str:
    """Lower-case suffix of a file name, ignoring that of a compression: ``.jsonl`` for ``a.jsonl.gz``."""
    stem, suffix = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if suffix in _COMPRESSION and suffix != ".tgz" else suffix


def is_compressed(uri: str) -> bool:
    return _codec(uri) is not None


def _codec(uri: str) -> str | None:
    return _COMPRESSION.get(os.path.splitext(uri.lower())[1])


def open_input(uri: str, *, block_size: int | None = _BLOCK) -> BinaryIO:
    """Opens a file for reading, seekable.

    Args:
        block_size: Bytes that a request to S3 reads ahead; fewer for a look at the head, ``None`` for a reader that
            requests exactly what it needs.
    """
    if uri.startswith(S3):
        cache = {"cache_type": "none"} if block_size is None else {"block_size": block_size}
        return s3().open(uri, "rb", **cache)
    return open(uri, "rb", buffering=0)


def open_stream(uri: str, *, block_size: int = _BLOCK) -> tuple[Any, Watched]:
    """Opens a file for reading from front to back, decompressed by suffix.

    Returns:
        The stream of plain bytes, and the file below it. If reading the stream fails, ``file.failed`` tells a failed
        storage from damaged contents.
    """
    import pyarrow as pa

    file = Watched(open_input(uri, block_size=block_size))
    codec = _codec(uri)
    if codec == "xz":
        return lzma.LZMAFile(cast(BinaryIO, file)), file  # Arrow cannot read xz
    return (pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) if codec else file), file


class Watched(io.RawIOBase):
    """A file that remembers whether a read of it failed, because decoders replace the exception with their own."""

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
    """Lists the files below a directory or prefix, sorted, relative to it; leaves out hidden files and folders.

    Streams: on S3 a page of 1,000 keys at a time, locally one directory at a time.

    Args:
        beginning: Prefix of the wanted names. On S3 names with another prefix are not listed.
    """
    if root.startswith(S3):
        yield from _walk_s3(root, recursive, beginning)
    else:
        yield from _walk_local(root, "", recursive, ())


def _walk_local(root: str, prefix: str, recursive: bool, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    folder = os.path.join(root, prefix)
    here = os.stat(folder)
    identity = (here.st_dev, here.st_ino)
    if identity in above:  # a symbolic link to a parent folder: following it would never end
        return
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_directory in found:
        if not is_directory:
            yield prefix + name
        elif recursive:
            yield from _walk_local(root, f"{prefix}{name}/", recursive, (*above, identity))


def _walk_s3(root: str, recursive: bool, beginning: str) -> Iterator[str]:
    bucket, _, prefix = root[len(S3) :].partition("/")
    prefix = f"{prefix}/" if prefix else ""
    request = {"Bucket": bucket, "Prefix": prefix + beginning, "MaxKeys": _KEYS_A_PAGE} | (
        {} if recursive else {"Delimiter": "/"}
    )
    while True:
        page = s3().call_s3("list_objects_v2", **request)
        for entry in page.get("Contents", ()):
            name = entry["Key"][len(prefix) :]
            if name and not name.endswith("/") and not any(part.startswith(".") for part in name.split("/")):
                yield name
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def look_at(splits: Sequence[Split], look: Callable[[Split], T]) -> list[tuple[Split, T]]:
    """Calls ``look`` on each split, on S3 many at a time; with more than 2,000 files, only on a sample."""
    chosen = splits[:: -(-len(splits) // _LOOKED_AT) or 1]
    if not chosen or not chosen[0].uri.startswith(S3):
        return [(split, look(split)) for split in chosen]
    s3()  # created once, before the threads start
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(zip(chosen, pool.map(look, chosen), strict=True))


_anonymous = False


def read_anonymously(anonymous: bool) -> None:
    """Sets whether this process reads S3 inputs without credentials. Outputs are not affected."""
    global _anonymous
    _anonymous = anonymous


def s3() -> Any:
    """The S3 file system for inputs, as `s3_config` configures it."""
    return _s3_as_configured(s3_config.environment(), _anonymous)


@functools.lru_cache(maxsize=4)
def _s3_as_configured(environment: tuple[tuple[str, str], ...], anonymous: bool) -> Any:
    import s3fs

    # s3fs retries by itself, and `read_patiently` retries after it. With botocore's five attempts on top, a store that
    # never answers would block for many minutes before the first message.
    once: dict[str, Any] = {} if "AWS_MAX_ATTEMPTS" in os.environ else {"retries": {"total_max_attempts": 1}}
    return s3fs.S3FileSystem(
        use_listings_cache=False, skip_instance_cache=True, **s3_config.options(anonymous=anonymous, **once)
    )
