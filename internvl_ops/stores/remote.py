"""A store by its fsspec implementation: all that the implementations have in common."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, ClassVar, cast

from internvl_ops.stores.base import BLOCK, EntryKind, Received, Stat, Store, TooLarge, is_hidden
from internvl_ops.stores.redaction import safe_text
from internvl_ops.stores.schemes import split_uri

_GONE, _THERE, _LATER = (404, 410), (409, 412), (408, 425, 429)
# Settings that nobody may change: a stale listing, for example, would hide what a run wrote.
OURS = frozenset(
    {
        "asynchronous",
        "loop",
        "skip_instance_cache",
        "use_listings_cache",
        "listings_expiry_time",
        "max_paths",
    }
)


class StoreAway(ConnectionError):
    """A store that may answer later.

    Args:
        message: What happened.
        status: The HTTP status of its answer; None if there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RemoteStore(Store):
    """A store that fsspec knows. Lists one folder at a time.

    Its settings come from the variables and files of fsspec for its scheme (``FSSPEC_GS_PROJECT``),
    and from those that its implementation reads itself.
    """

    # of an entry, best first
    versions: ClassVar[tuple[str, ...]] = ("ETag", "etag", "LastModified", "mtime")

    @functools.cached_property
    def fs(self) -> Any:
        """The file system."""
        return self.make(**self.configured())

    def make(self, **options: Any) -> Any:
        """Makes the file system. Nothing is cached: a cached listing could lack files that another
        process wrote."""
        import fsspec

        return fsspec.filesystem(
            self.scheme.name, use_listings_cache=False, skip_instance_cache=True, **options
        )

    def configured(self) -> dict[str, Any]:
        """The operator's settings for fsspec."""
        import fsspec

        found: dict[str, Any] = {}
        for name in (self.scheme.name, *self.scheme.aliases):
            found |= fsspec.config.conf.get(name, {})
            beginning = f"FSSPEC_{name.upper()}_"
            told = {
                key: value
                for key, value in os.environ.items()
                if key.startswith(beginning) and value
            }
            found |= {key[len(beginning) :].lower(): _value(value) for key, value in told.items()}
        return {name: value for name, value in found.items() if name not in OURS}

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Raises what the implementation raises as an OSError that says what happened."""
        try:
            yield
        except Exception as error:
            told = self.told(error)
            if told is error:
                raise
            raise told from None  # implementations quote whole answers

    def told(self, error: Exception) -> Exception:
        """The OSError for what the implementation raised."""
        status = _status(error)
        if isinstance(error, OSError) and (status is None or type(error) in _FINAL):
            return error
        if status is None and not isinstance(error, self.failures):
            return error
        return _as_os_error(status, first_line(error))

    def info(self, uri: str) -> Mapping[str, Any]:
        """What the implementation knows about an entry."""
        found: Mapping[str, Any] = self.fs.info(uri)
        return found

    def version(self, info: Mapping[str, Any]) -> str:
        """The version that an entry states."""
        return next((str(info[name]) for name in self.versions if info.get(name)), "")

    def digest(self, info: Mapping[str, Any]) -> str:
        """The digest of the content that an entry states, as in `Stat`."""
        return ""

    def kind(self, uri: str) -> EntryKind | None:
        with self.telling():
            try:
                info = self.info(uri)
            except FileNotFoundError:
                return None
        if info["type"] == "file" and not info["size"] and next(self.walk(uri), None) is not None:
            return "directory"  # an empty object that some tools write for a folder
        return "file" if info["type"] == "file" else "directory"

    def stat(self, uri: str) -> Stat:
        with self.telling():
            info = self.info(uri)
        if info["type"] != "file":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), uri)
        return Stat(info["size"], self.version(info), self.digest(info))

    def open(self, uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
        cache = {"cache_type": "none"} if block_size is None else {"block_size": block_size}
        with self.telling():
            return self.fs.open(uri, "rb", **cache)

    def read(self, uri: str) -> bytes:
        with self.telling():
            return self.fs.cat_file(uri)

    def receive(self, uri: str, max_bytes: int) -> Received:
        size, version, _ = self.stat(uri)
        if size is not None and size > max_bytes:
            raise TooLarge(f"{size:,} bytes")
        data = self.read(uri)
        if size is not None and len(data) != size:
            raise StoreAway(f"{len(data):,} of {size:,} bytes arrived", 200)
        return Received(data, version)

    def walk(self, uri: str, *, recursive: bool = True, beginning: str = "") -> Iterator[str]:
        yield from self._walk(uri.rstrip("/"), "", recursive)

    def _walk(self, root: str, prefix: str, recursive: bool) -> Iterator[str]:
        with self.telling():
            entries = self.fs.ls(f"{root}/{prefix}".rstrip("/"), detail=True)
        found = sorted(
            (posixpath.basename(entry["name"].rstrip("/")), entry["type"] == "file")
            for entry in entries
        )
        for name, is_file in found:
            if not name or name.startswith("."):
                continue
            if is_file:
                yield prefix + name
            elif recursive:
                yield from self._walk(root, f"{prefix}{name}/", recursive)

    def names(self, folder: str) -> list[str]:
        with self.telling():
            try:
                return [
                    posixpath.basename(path.rstrip("/"))
                    for path in self.fs.ls(folder, detail=False)
                ]
            except FileNotFoundError:
                return []

    def write(self, uri: str, data: bytes) -> None:
        with self.telling():
            self.fs.pipe_file(uri, data)

    def create(self, uri: str, data: bytes) -> None:
        try:
            with self.telling():
                self.create_once(uri, data)
        except Exception as error:
            if self.kind(uri) is not None:
                return
            if getattr(error, "errno", None) != errno.ENOSYS:
                raise
            self.write(uri, data)  # a store that reports that it has no conditional write

    def create_once(self, uri: str, data: bytes) -> None:
        """One request that writes a file only if there is none."""
        self.fs.pipe_file(uri, data, mode="create")

    def delete(self, uri: str) -> None:
        with self.telling(), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(uri)


class ReadOnlyStore(RemoteStore):
    """A store in which no output may lie."""

    def write(self, uri: str, data: bytes) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), uri)

    create = create_once = write

    def delete(self, uri: str) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), uri)


def ranged(
    fs: Any, uri: str, size: int | None, fetch: Callable[[int, int], bytes], block_size: int | None
) -> BinaryIO:
    """A file that ``fetch`` reads from one place up to, and without, another.

    For implementations whose own files list the folder that they are in, or return more than they
    are asked for: Arrow would write that past the end of its memory.
    """
    from fsspec.spec import AbstractBufferedFile

    cache = {"cache_type": "none"} if block_size is None else {"block_size": block_size}
    file = AbstractBufferedFile(fs, uri, "rb", size=size, **cache)
    file.cache.fetcher = fetch
    return cast(BinaryIO, file)


class BucketStore(RemoteStore):
    """A store of buckets with flat keys, which lists them in their order, a page at a time."""

    def pages(self, bucket: str, prefix: str, recursive: bool) -> Iterator[list[str]]:
        """Pages of keys that begin with a prefix; without ``recursive``, those with no slash after
        it."""
        raise NotImplementedError

    def walk(self, uri: str, *, recursive: bool = True, beginning: str = "") -> Iterator[str]:
        bucket, key = split_uri(uri)
        prefix = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
        pages = self.pages(bucket, prefix + beginning, recursive)
        while True:
            with self.telling():
                page = next(pages, None)
            if page is None:
                return
            for found in page:
                name = found[len(prefix) :]
                if name and not name.endswith("/") and not is_hidden(name):
                    yield name


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without secrets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return safe_text(lines[0])[:300] if lines else type(error).__name__


_FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an implementation's exception carries."""
    for place in (error, getattr(error, "response", None), error.__cause__):
        for name in ("status", "status_code", "code"):
            value = getattr(place, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return value
            if isinstance(value, str) and value.isdigit():
                return int(value)
    return None


def _as_os_error(status: int | None, text: str) -> OSError:
    if status in _GONE:
        return FileNotFoundError(text)
    if status in _THERE:
        return FileExistsError(text)
    if status is not None and 400 <= status < 500 and status not in _LATER:
        return PermissionError(f"{text} (HTTP {status})")
    return StoreAway(text if status is None else f"{text} (HTTP {status})", status)


def _value(text: str) -> Any:
    """A variable's value: a JSON object, list or switch as such, and any other text as it is."""
    if text[:1] in "{[" or text in ("true", "false"):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text
