"""Fetches a checkpoint from a store into a folder of this node: once, resumed when cut, and
checked."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.events import note, say_step
from internvl_ops.stores.base import Stat, Store
from internvl_ops.stores.opening import refuse_keys, store_of
from internvl_ops.stores.redaction import safe_text, safe_uri

T = TypeVar("T")
logger = logging.getLogger(__name__)

# the variable that names another folder than ~/.cache/internvl-batch
CACHE = "INTERNVL_BATCH_CACHE"
_CONFIGS = (".json", ".jinja", ".txt", ".model", ".py")
_WEIGHTS = (".safetensors", ".bin")  # the second only if there is none of the first
_CHUNK = 8 << 20
_AT_ONCE = 4
_ATTEMPTS = 10  # in a row without a byte, about four minutes
_DONE, _CONFIGS_DONE = ".complete", ".configs_complete"


class StoredCheckpoint:
    """A checkpoint in a store.

    Its files are kept in a folder that is named after its place and version, so other weights under
    the same place never mix with those that were fetched before. A lock lets one process of a node
    fetch, and the others wait.

    Args:
        uri: Its folder.
        version: The version that is wanted; empty for the current one.

    Raises:
        ConfigurationError: The address has keys in it.
    """

    def __init__(self, uri: str, version: str = "") -> None:
        refuse_keys(keyword("model"), uri)
        self._uri, self._wanted = uri, version

    @property
    def version(self) -> str:
        """Identifies names, sizes and versions of its files."""
        return self._wanted or self._current

    def configs(self) -> Path:
        """The local folder with config and tokenizer."""
        folder = self.folder
        if not any((folder / mark).is_file() for mark in (_DONE, _CONFIGS_DONE)):
            self._fetch(
                {name: stat for name, stat in self._listed.items() if name.endswith(_CONFIGS)}
            )
            (folder / _CONFIGS_DONE).touch()
        return folder

    def whole(self) -> Path:
        """The local folder with all files."""
        done = self.folder / _DONE
        if not done.is_file() or not _has(self.folder, json.loads(done.read_text())):
            began = time.monotonic()
            say_step(logger, "fetching the weights")
            self._fetch(self._listed)
            done.write_text(json.dumps({name: stat.size for name, stat in self._listed.items()}))
            size, seconds = (
                sum(stat.size or 0 for stat in self._listed.values()),
                round(time.monotonic() - began, 1),
            )
            message = f"Fetched {safe_uri(self._uri)}, {size / 1e9:.1f} GB, into {self.folder}."
            note(
                logger,
                "checkpoint_fetched",
                message,
                level=logging.INFO,
                seconds=seconds,
                bytes=size,
            )
        return self.folder

    @property
    def folder(self) -> Path:
        """The folder of this version on this node."""
        root = Path(os.environ.get(CACHE) or "~/.cache/internvl-batch").expanduser()
        place = hashlib.blake2b(self._uri.encode(), digest_size=8).hexdigest()
        return root / "checkpoints" / f"{place}-{self.version.rpartition(' ')[2]}"

    @cached_property
    def _store(self) -> Store:
        return store_of(self._uri)

    @cached_property
    def _listed(self) -> Mapping[str, Stat]:
        """The files that are needed."""
        names = self._patiently(
            lambda: list(self._store.walk(self._uri, recursive=False)), "be listed"
        )
        weights = next(
            (suffix for suffix in _WEIGHTS if any(name.endswith(suffix) for name in names)),
            _WEIGHTS[0],
        )
        names = [name for name in names if name.endswith((*_CONFIGS, weights))]
        if "config.json" not in names:
            raise ConfigurationError(
                f"{keyword('model', safe_uri(self._uri))}: no config.json there. Name the folder"
                " that holds the checkpoint's config.json, tokenizer and weights."
            )
        if not any(name.endswith(weights) for name in names):
            raise ConfigurationError(
                f"{keyword('model', safe_uri(self._uri))}: no weights there; looked for"
                f" *{' and *'.join(_WEIGHTS)}. Finish the upload."
            )
        with ThreadPoolExecutor(16) as pool:
            stats = pool.map(
                lambda name: self._patiently(lambda: self._stat(name), "be read"), names
            )
            return dict(zip(names, stats, strict=True))

    def _stat(self, name: str) -> Stat:
        return self._store.stat(f"{self._uri}/{name}")

    @cached_property
    def _current(self) -> str:
        told = json.dumps(sorted((name, *stat) for name, stat in self._listed.items()))
        return f"files {hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"

    def _fetch(self, files: Mapping[str, Stat]) -> None:
        """Fetches the files that are not here yet."""
        from filelock import FileLock

        folder = self.folder
        if self._wanted and self._current != self._wanted:
            raise ConfigurationError(
                f"{keyword('model', safe_uri(self._uri))}: its files are not those that the job"
                " began with. Leave them as they are while a job runs; the same command goes on"
                " with the new ones, if the output may hold both."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            missing = {
                name: stat for name, stat in files.items() if not _is_whole(folder / name, stat)
            }
            self._check_room(missing)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda name: self._fetch_file(folder, name, missing[name]), missing))

    def _check_room(self, files: Mapping[str, Stat]) -> None:
        needed, free = (
            sum(stat.size or 0 for stat in files.values()),
            shutil.disk_usage(self.folder).free,
        )
        if needed > free:
            raise ConfigurationError(
                f"{keyword('model', safe_uri(self._uri))}: {needed / 1e9:.1f} GB do not go into"
                f" {self.folder}, where {free / 1e9:.1f} GB are free. Make room, or name another"
                f" folder by {CACHE}."
            )

    def _fetch_file(self, folder: Path, name: str, stat: Stat) -> None:
        unfinished = folder / f"{name}.unfinished"

        def append() -> None:
            with unfinished.open("ab") as file:
                start = file.tell()
                if start == stat.size:
                    return
                with self._store.open(f"{self._uri}/{name}", block_size=_CHUNK) as source:
                    source.seek(start)
                    while chunk := source.read(_CHUNK):
                        file.write(chunk)

        def size() -> int:
            return unfinished.stat().st_size if unfinished.exists() else 0

        self._patiently(append, "be read", progress=size)
        found = self._patiently(lambda: self._stat(name), "be read")
        if found != stat or size() != stat.size or not _fits(unfinished, stat):
            unfinished.unlink()
            raise ConfigurationError(
                f"{keyword('model', safe_uri(self._uri))}: {name} is not what the store says: it"
                " changed meanwhile, or was damaged on the way. Repeat the command; it fetches"
                " this file again."
            )
        unfinished.rename(folder / name)

    def _patiently(
        self, work: Callable[[], T], what: str, progress: Callable[[], int] = lambda: 0
    ) -> T:
        """The result of ``work``, which is repeated while the store fails and, between two
        failures, gives nothing."""
        failures, reached = 0, progress()
        while True:
            try:
                return work()
            except (FileNotFoundError, PermissionError, ValueError) as error:
                raise self._failed(what, error) from error
            except self._store.failures as error:
                failures = 1 if progress() > reached else failures + 1
                reached = progress()
                if failures == _ATTEMPTS:
                    raise self._failed(what, error) from error
                time.sleep(min(60.0, 0.25 * 2**failures))

    def _failed(self, what: str, error: BaseException) -> ConfigurationError:
        advice = self._store.advice(error)
        said = safe_text(str(error).splitlines()[0] if str(error) else type(error).__name__)
        return ConfigurationError(
            f"{keyword('model', safe_uri(self._uri))} cannot {what}:"
            f" {said}{f'. {advice}' if advice else ''}"
        )


def _has(folder: Path, sizes: Mapping[str, int]) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == sizes[name]
        for name in sizes
    )


def _is_whole(path: Path, stat: Stat) -> bool:
    return path.is_file() and path.stat().st_size == stat.size


def _fits(path: Path, stat: Stat) -> bool:
    """Whether the bytes have the digest that the store states, if it states one."""
    if not stat.digest:
        return True
    algorithm, _, wanted = stat.digest.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == wanted
