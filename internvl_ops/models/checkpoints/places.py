"""Where a checkpoint lies, which version of it, and its files on this machine.

The version is settled once, where a job starts; every node then takes this version.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.events import say_step
from internvl_ops.models.checkpoints.download import StoredCheckpoint
from internvl_ops.stores.redaction import safe_text
from internvl_ops.stores.schemes import SCHEME, canonical, read_schemes, scheme_named, split_uri

logger = logging.getLogger(__name__)

# Files that say what a checkpoint is; small, and enough for everything but the engine.
CONFIG_FILES = ("*.json", "*.jinja", "tokenizer.model", "*.txt")
_CODE_FILES = ("*.model", "*.py")
# in the version of a checkpoint of the Hub, before what identifies the files that are used
_FILES = ", files "
_SMALL_BYTES = 64 << 20  # a file of this size is read whole for the fingerprint
_SAMPLES, _SAMPLE_BYTES = 16, 64 << 10


@dataclass(frozen=True)
class Place:
    """One version of a checkpoint. Picklable.

    Attributes:
        model: The user's name for it.
        version: What identifies it: ``commit …, files …`` of the Hub, ``content …`` of a local
            folder, ``files …`` of a store. Of the Hub the files are left out where it does not
            answer. See `is_same_version`.
        revision: On the Hub, the commit.
    """

    model: str
    version: str = ""
    revision: str = ""

    def configs(self) -> Path:
        """The local folder with config and tokenizer; they are fetched if necessary."""
        if uri := stored_at(self.model):
            return StoredCheckpoint(uri, self.version).configs()
        return self._on_hub(CONFIG_FILES) if is_hub_name(self.model) else Path(self.model)

    def whole(self) -> Path:
        """The local folder with the weights too. They are fetched once on each node, whoever asks
        first.

        Raises:
            ConfigurationError: They are not there any more, or not as they were when the job began.
        """
        if uri := stored_at(self.model):
            return StoredCheckpoint(uri, self.version).whole()
        if not is_hub_name(self.model):
            return Path(self.model)
        say_step(logger, "fetching the weights")  # a moment only, if they are there already
        return self._on_hub((*CONFIG_FILES, *_CODE_FILES, *self._weights()))

    def _on_hub(self, patterns: Iterable[str]) -> Path:
        name, revision = hub_name(self.model)
        return _download(name, self.revision or revision, patterns)

    def _weights(self) -> tuple[str, ...]:
        """Patterns of the weight files: the older form only if there is no other."""
        from huggingface_hub import HfApi

        name, revision = hub_name(self.model)
        try:
            files = HfApi(endpoint=_endpoint()).list_repo_files(
                name, revision=self.revision or revision or None
            )
        except Exception:  # without a network, what has been fetched before is there
            return ("*.safetensors", "*.bin")
        return (
            ("*.safetensors",)
            if any(file.endswith(".safetensors") for file in files)
            else ("*.bin",)
        )


class Placed:
    """A model whose files lie somewhere.

    Attributes:
        model: The user's name for it.
        place: Where its files are, and which version of them; None where the name says it.
    """

    model: str
    place: Place | None

    @property
    def version(self) -> str:
        """What identifies its files: a commit, or a hash."""
        return self.place.version if self.place else ""

    def folder(self) -> Path:
        """The local folder with config and tokenizer; they are fetched if necessary."""
        return (self.place or Place(self.model)).configs()

    def whole(self) -> Path:
        """The local folder with the weights too; they are fetched if necessary, once on each
        node."""
        return (self.place or Place(self.model)).whole()


def place_of(model: str, revision: str | None = None) -> Place:
    """Settles which version of a checkpoint is meant.

    Args:
        model: A local folder, a folder in a store, or a name on the Hugging Face Hub.
        revision: Branch, tag or commit on the Hub. Default: the branch main.

    Raises:
        ConfigurationError: There is none of this name.
    """
    if revision and not is_hub_name(model):
        raise ConfigurationError(
            f"{keyword('revision', revision)}: only a checkpoint of the Hugging Face Hub has"
            f" revisions; {keyword('model', model)} is none. Leave it out."
        )
    if uri := stored_at(model):
        return Place(model, StoredCheckpoint(uri).version)
    if is_hub_name(model):
        name, named = hub_name(model)
        commit = _download(name, revision or named, CONFIG_FILES).name
        files = _files_of_commit(name, commit)
        return Place(
            model, f"commit {commit}{_FILES}{files}" if files else f"commit {commit}", commit
        )
    _check_folder(model)
    return Place(model, f"content {fingerprint(Path(model))}")


def is_same_version(one: str, other: str) -> bool:
    """Whether two versions of a checkpoint have the same files. Two commits of the Hub may differ
    in a README alone."""
    (commit, _, files), (other_commit, _, other_files) = (
        one.partition(_FILES),
        other.partition(_FILES),
    )
    return commit == other_commit or bool(files and files == other_files)


def _files_of_commit(name: str, commit: str) -> str:
    """Identifies the files that are used of a commit of the Hub; empty if the Hub does not
    answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    try:
        entries = HfApi(endpoint=_endpoint()).list_repo_tree(name, revision=commit, recursive=True)
        hashes = {
            entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in entries
            if isinstance(entry, RepoFile)
        }
    except Exception:  # without a network, what has been fetched before is there
        return ""
    weights = "*.safetensors" if any(path.endswith(".safetensors") for path in hashes) else "*.bin"
    used = [
        path
        for path in sorted(hashes)
        if any(map(partial(fnmatch, path), (*CONFIG_FILES, *_CODE_FILES, weights)))
    ]
    text = "".join(f"{path}\0{hashes[path]}\0" for path in used)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stored_at(model: str) -> str | None:
    """The canonical URI of a checkpoint in a store; None for a local folder or a name on the Hub.

    Raises:
        ConfigurationError: No store has its scheme, or its store cannot list folders.
    """
    match = SCHEME.match(model)
    if match is None:
        return None
    scheme = scheme_named(match[1])
    if scheme is None or not scheme.lists:
        raise ConfigurationError(
            f"{keyword('model', model)}: checkpoints are not read from {match[0]}. Name a hub name,"
            f" or a folder by one of these: {read_schemes()}."
        )
    uri = canonical(model).rstrip("/")
    return uri if SCHEME.match(uri) and not is_hub_name(model) else None


def is_hub_name(model: str) -> bool:
    """Whether it names a repository of the Hub, and not a folder: ``OWNER/NAME`` or
    ``hf://OWNER/NAME[@REVISION]``."""
    if SCHEME.match(model):
        uri = canonical(model)
        bucket, key = split_uri(uri.rstrip("/")) if uri.startswith("hf://") else ("", "")
        return bucket.startswith("models/") and bucket.count("/") == 2 and not key
    return (
        not Path(model).exists() and model.count("/") == 1 and not model.startswith(("/", ".", "~"))
    )


def hub_name(model: str) -> tuple[str, str]:
    """Name and revision of a repository of the Hub; the revision is empty if none is named."""
    if not SCHEME.match(model):
        return model, ""
    name, _, revision = (
        split_uri(canonical(model).rstrip("/"))[0].removeprefix("models/").partition("@")
    )
    return name, revision


def fingerprint(folder: Path) -> str:
    """Identifies the content of a checkpoint's files: of small ones all bytes, of weights size,
    head, and samples.

    Other weights differ in nearly every byte, so samples tell them apart without reading hundreds
    of gigabytes.
    """
    content = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or not _counts(path.name):
            continue
        size = path.stat().st_size
        content.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _SMALL_BYTES:
                content.update(file.read())
                continue
            for number in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                content.update(file.read(_SAMPLE_BYTES))
    return content.hexdigest()


def _counts(name: str) -> bool:
    return name.endswith((".json", ".jinja", ".txt", ".model", ".safetensors", ".bin"))


def _check_folder(model: str) -> None:
    folder = Path(model)
    if (folder / "config.json").is_file():
        return
    if folder.is_dir():
        raise ConfigurationError(
            f"{keyword('model', model)}: no config.json in this folder. Name the folder that holds"
            " the checkpoint's config.json, tokenizer and weights."
        )
    if folder.exists():
        raise ConfigurationError(
            f"{keyword('model', model)}: is a file. Name the checkpoint's folder or a hub name."
        )
    raise ConfigurationError(
        f"{keyword('model', model)}: no such folder, and not a hub name. Name a local folder, the"
        " same on every node, or a hub name such as OpenGVLab/InternVL2_5-1B."
    )


def _download(name: str, revision: str, patterns: Iterable[str]) -> Path:
    from huggingface_hub import snapshot_download  # only for a hub name: needs a network

    # The client locks each file, resumes one that was cut off, and compares size and hash.
    chosen: dict[str, Any] = {"endpoint": _endpoint()} if _endpoint() else {}
    try:
        return Path(
            snapshot_download(
                name, revision=revision or None, allow_patterns=list(patterns), **chosen
            )
        )
    # the hub's client raises many types; the message for the user is the same
    except Exception as error:
        first_line = safe_text((str(error).strip() or type(error).__name__).splitlines()[0])
        at = f" at revision {revision}" if revision else ""
        raise ConfigurationError(
            f"{keyword('model', name)}: no such local folder, and the Hugging Face hub did not give"
            f" it{at}: {first_line} Correct the name, log in for a gated model (HF_TOKEN), or"
            " download it and name its folder."
        ) from error


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None
