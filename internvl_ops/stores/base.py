"""What every store can do."""

from __future__ import annotations

import functools
import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple

from internvl_ops.stores.schemes import SCHEMES, Scheme

BLOCK = 8 << 20
EntryKind = Literal["file", "directory"]


@dataclass(frozen=True)
class Settings:
    """How stores are read, as the options of a job say.

    Args:
        s3_anonymous: Sign no request to S3, as public buckets allow.
        s3_requester_pays: Pay for requests to S3, as some buckets want.
    """

    s3_anonymous: bool = False
    s3_requester_pays: bool = False


class Received(NamedTuple):
    """One object as it was received.

    Args:
        data: All of its bytes.
        version: Identifies the version of the object: the server's ETag, or else its date of last
            change; size and time of a local file; empty if there is neither.
    """

    data: bytes
    version: str


class Stat(NamedTuple):
    """One file as the store describes it.

    Args:
        size: Its bytes; None if the store does not say.
        version: As in `Received`.
        digest: Digest of the content that the store states, as ``sha256:…`` or ``md5:…``; empty if
            it states none.
    """

    size: int | None
    version: str
    digest: str = ""


class TooLarge(Exception):
    """An object is larger than allowed, and was not read.

    Args:
        size: Its size in words.
    """

    def __init__(self, size: str) -> None:
        super().__init__(size)
        self.size = size


class Store(ABC):
    """One store. Every method takes canonical URIs (see `schemes.canonical`) and may be called from
    any thread.

    What fails raises OSError or one of `failures`: FileNotFoundError for what is not there,
    PermissionError for what is refused. No method waits for a store that is away;
    `pipelines.patience` and the `Fetcher` do.

    Args:
        scheme: The scheme that it was opened for.
        settings: How it is read.
        account: The account that the URI names, see `account_of`.
    """

    # beginnings of the environment variables that decide how it is reached
    variables: ClassVar[tuple[str, ...]] = ()

    def __init__(self, scheme: Scheme, settings: Settings, account: str = "") -> None:
        self.scheme, self.settings, self.account = scheme, settings, account

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it is opened anew, as that process is configured.
        return reopened, (self.scheme.name, self.settings, self.account)

    @classmethod
    def account_of(cls, uri: str) -> str:
        """The account that a URI names, which decides how the store is reached; empty if URIs name
        none."""
        return ""

    @classmethod
    def environment(cls) -> tuple[tuple[str, str], ...]:
        """The environment variables that decide how it is reached."""
        return tuple(
            sorted(
                (name, value)
                for name, value in os.environ.items()
                if name.startswith(cls.variables)
            )
        )

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What an open file raises if the store fails."""
        return (OSError,)

    def advice(self, error: BaseException) -> str:
        """What a user can do about a refusal; empty if there is nothing to say."""
        return ""

    def is_locked(self, error: BaseException) -> bool:
        """Whether no request can be made until the user sets something, such as credentials."""
        return False

    @abstractmethod
    def kind(self, uri: str) -> EntryKind | None:
        """The kind of entry at the URI; None if there is none."""

    @abstractmethod
    def stat(self, uri: str) -> Stat:
        """Size and version of a file."""

    @abstractmethod
    def open(self, uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
        """Opens a file for reading, seekable.

        Args:
            block_size: Bytes that a request reads ahead; None for a reader that requests exactly
                what it needs.
        """

    @abstractmethod
    def read(self, uri: str) -> bytes:
        """A whole file."""

    @abstractmethod
    def receive(self, uri: str, max_bytes: int) -> Received:
        """A whole file with its version.

        Raises:
            TooLarge: It has more than ``max_bytes``.
        """

    @abstractmethod
    def walk(self, uri: str, *, recursive: bool = True, beginning: str = "") -> Iterator[str]:
        """Lists the files below a folder, sorted, relative to it; leaves out hidden files and
        folders. Streams.

        Args:
            beginning: Prefix of the wanted names: others may be left out.
        """

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of all entries of a folder, without their path, hidden ones too; empty if there is
        no such folder."""

    @abstractmethod
    def write(self, uri: str, data: bytes) -> None:
        """Writes a whole file: it appears whole or not at all, and replaces one of that name."""

    @abstractmethod
    def create(self, uri: str, data: bytes) -> None:
        """Writes a whole file unless there is one of that name.

        To learn whether it was written, read it back: if the answer was lost, the store itself
        cannot tell.
        """

    @abstractmethod
    def delete(self, uri: str) -> None:
        """Removes a file; does nothing if it is gone already."""


def is_hidden(name: str) -> bool:
    """Whether a relative path is of a hidden file, or of a file in a hidden folder."""
    return any(part.startswith(".") for part in name.split("/"))


def class_of(scheme: Scheme) -> type[Store]:
    """The class of a scheme's stores."""
    module, _, name = scheme.store.partition(":")
    found: type[Store] = getattr(importlib.import_module(module), name)
    return found


@functools.lru_cache(maxsize=32)
def opened_once(
    scheme: Scheme,
    opened: type[Store],
    settings: Settings,
    account: str,
    environment: tuple[tuple[str, str], ...],
) -> Store:
    """The store of a scheme and a configuration.

    Raises:
        ImportError: The package that reads its scheme is not installed.
    """
    if scheme.package:
        importlib.import_module(scheme.package)
    return opened(scheme, settings, account)


def reopened(name: str, settings: Settings, account: str) -> Store:
    """The store of a scheme's name, as another process had opened it."""
    scheme = SCHEMES[name]
    opened = class_of(scheme)
    return opened_once(scheme, opened, settings, account, opened.environment())
