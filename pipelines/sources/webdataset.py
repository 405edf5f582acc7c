"""WebDataset shards: tar files in which the members that share a key form one row.

The key (the path up to the first dot of the file name) is the row's id. The media members are its
media, inline. The fields of the ``.json`` member and the text members are its columns. A ``.json``
member that is no object, such as a list of turns, is the column ``json``. Other members are
ignored.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.sources.conversion import set_aside
from pipelines.sources.json_columns import Build, build_columns, find_columns, make_builders
from pipelines.sources.json_objects import parse_object
from pipelines.sources.options import (
    MEDIA_SUFFIXES,
    SEVERAL_MEDIA,
    SourceOptions,
    SourcePlan,
    Split,
)
from pipelines.sources.raw_rows import RawRows, TooLargeMedia
from pipelines.sources.storage import is_compressed, is_local, look_at
from pipelines.sources.tar import Shard

_TEXT_MEMBERS = ("txt", "text", "caption", "cls")
_MAX_MEDIA_BYTES = 1 << 30
_MAX_TEXT_BYTES = 16 << 20
_SAMPLED_SHARDS = 8
_SAMPLED_ROWS = 1_000
# most bytes read for the columns of one shard; a shard may have to be read with its media
_SAMPLED_BYTES = 64 << 20
Contents = Literal["all", "columns", "none"]
_MEDIA = pa.list_(pa.struct([("path", pa.string()), ("bytes", pa.large_binary())]))


@dataclass
class ShardRow:
    """One row of a shard.

    Args:
        key: Name that its members share.
        fields: Columns, from the ``.json`` and text members.
        media: Path and content of each media member.
        files: Number of media members, read or not.
        size: Bytes of all members that were kept.
        problem: Description of what is wrong with it.
        mended: For each column whose value was repaired, what was wrong.
    """

    key: str | None
    fields: dict[str, Any] = field(default_factory=dict)
    media: list[tuple[str, bytes]] = field(default_factory=list)
    files: int = 0
    size: int = 0
    problem: str | None = None
    mended: dict[str, str] = field(default_factory=dict)


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Finds columns and types in the first samples of a few shards. Raises ConfigurationError if
    one is no tar."""
    chosen = splits[:: -(-len(splits) // _SAMPLED_SHARDS) or 1]
    looks = look_at(chosen, lambda split: list(_first_samples(split, options)))
    for split, samples in looks:
        if samples and samples[0].key is None:
            raise ConfigurationError(
                f"--input: {split.uri} is no tar that can be read: {samples[0].problem}."
            )
    columns, details = find_columns(
        [sample.fields for _, samples in looks for sample in samples], options
    )
    several = any(sample.files > 1 for _, samples in looks for sample in samples)
    return columns, splits, details | {SEVERAL_MEDIA: several}


def _first_samples(split: Split, options: SourceOptions) -> Iterator[ShardRow]:
    """The first samples, without their media, to find the columns; at least one."""
    read = 0
    for sample in islice(read_samples(split, options, contents="columns"), _SAMPLED_ROWS):
        yield sample
        read += sample.size
        if read > _SAMPLED_BYTES:
            return


def count(plan: SourcePlan, split: Split) -> int | None:
    """Number of samples; ``None`` if counting means reading the whole shard."""
    if split.max_rows is None and (not is_local(split.uri) or is_compressed(split.uri)):
        return None
    return sum(
        1 for _ in islice(read_samples(split, plan.options, contents="none"), split.max_rows)
    )


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    """Yields the samples of one shard. The unreadable rest of a damaged shard becomes one error row
    at its end."""
    builders = make_builders(plan)
    batch: list[ShardRow] = []
    start = size = 0
    for sample in islice(read_samples(split, plan.options), split.max_rows):
        if batch and (len(batch) == batch_rows or size + sample.size > batch_bytes):
            yield _rows(plan, builders, batch, start)
            start, batch, size = start + len(batch), [], 0
        batch.append(sample)
        size += sample.size
    if batch:
        yield _rows(plan, builders, batch, start)


def _rows(
    plan: SourcePlan, builders: dict[str, Build], batch: list[ShardRow], start: int
) -> RawRows:
    raw = RawRows({}, np.arange(start + 1, start + len(batch) + 1))
    raw.problems = {row: sample.problem for row, sample in enumerate(batch) if sample.problem}
    for row, sample in enumerate(batch):
        for key, why in sample.mended.items():
            set_aside(plan, raw, row, key, why)
    build_columns(
        builders, [sample.fields for sample in batch], raw, chosen=bool(plan.options.names)
    )
    raw.media = pa.array(
        [[{"path": path, "bytes": data} for path, data in sample.media] for sample in batch], _MEDIA
    )
    raw.ids = (
        pa.array([sample.key for sample in batch], pa.string()) if plan.id_column is None else None
    )
    return raw


def read_samples(
    split: Split, options: SourceOptions, *, contents: Contents = "all"
) -> Iterator[ShardRow]:
    """Yields the samples of one shard, from front to back. A sample in which damage is found is the
    last one.

    Args:
        contents: Which members to read: ``columns`` leaves out media, and with ``none`` a sample
            has only its key.
    """
    takes_media = _media_filter(options)
    sample: ShardRow | None = None
    with Shard(split.uri, streamed=contents == "all" or is_compressed(split.uri)) as shard:
        while (member := shard.next_member()) is not None:
            if _is_beside(member.name):
                continue
            key, suffix = _key_and_suffix(member.name)
            if sample is None or key != sample.key:
                if sample is not None:
                    yield sample
                sample = ShardRow(key)
            is_media = takes_media(suffix)
            sample.files += is_media
            if contents == "columns":
                sample.size += member.size  # read all the same if the shard is compressed or remote
            if contents == "all" or (contents == "columns" and not is_media):
                _add(sample, shard, member, suffix, is_media, options.max_bytes)
            if shard.damage:
                break
        if shard.damage:
            sample = sample or ShardRow(None)
            sample.problem = (
                f"the shard cannot be read from here on ({shard.damage}); write it anew"
            )
        behind = shard.behind
    if sample is not None:
        yield sample
    if behind:
        yield ShardRow(
            None, problem=f"the shard cannot be read to its end: {behind}; write it anew"
        )


def _media_filter(options: SourceOptions) -> Callable[[str], bool]:
    """Makes a function that tells by the suffix whether a member is media: of the kind, or as named
    (``seg.png``)."""
    kind, named = options.media_name
    named = named.lower().removeprefix(".")
    if named == kind:
        return lambda suffix: f".{suffix.rpartition('.')[2]}" in MEDIA_SUFFIXES[kind]
    return lambda suffix: suffix == named


def _key_and_suffix(path: str) -> tuple[str, str]:
    folder, slash, name = path.removeprefix("./").rpartition("/")
    stem, _, suffix = name.partition(".")
    return folder + slash + stem, suffix.lower()


def _is_beside(path: str) -> bool:
    """Whether a member is of no sample, as for the library webdataset: hidden files such as
    ``.DS_Store`` and ``._a.jpg``, ``__MACOSX/…``, ``__meta__``, and names without a suffix."""
    *folders, name = path.split("/")
    return (
        name.startswith(".")
        or "." not in name
        or "__MACOSX" in folders
        or (not folders and name.startswith("__") and name.endswith("__"))
    )


def _add(
    sample: ShardRow,
    shard: Shard,
    member: tarfile.TarInfo,
    suffix: str,
    is_media: bool,
    max_bytes: int | None,
) -> None:
    if not (is_media or suffix == "json" or suffix in _TEXT_MEMBERS):
        return
    limit = min(max_bytes or _MAX_MEDIA_BYTES, _MAX_MEDIA_BYTES) if is_media else _MAX_TEXT_BYTES
    if not member.isreg():
        if is_media:
            sample.problem = (
                f"member '{member.name}' is a link to '{member.linkname}'; write the shard with the"
                " file"
            )
    elif is_media and not member.size:
        sample.problem = f"member '{member.name}' is empty"
    elif member.size > limit:
        option = ". Raise --max-bytes to read it" if is_media and limit < _MAX_MEDIA_BYTES else ""
        sample.problem = TooLargeMedia(
            f"member '{member.name}' has {member.size:,} bytes; at most {limit:,} are read{option}"
        )
    elif is_media and sample.size + member.size > _MAX_MEDIA_BYTES:
        sample.problem = TooLargeMedia(
            f"its members have more than {_MAX_MEDIA_BYTES:,} bytes together"
        )
    if sample.problem:
        sample.media.clear()
    if sample.problem or not member.isreg():
        return
    data = shard.read(member)
    if shard.damage:
        return
    if is_media:
        sample.size += len(data)
        # A member that is there twice replaces the first one, as when the tar is unpacked.
        sample.media = [(name, content) for name, content in sample.media if name != member.name]
        sample.media.append((member.name, data))
        return
    if suffix != "json":
        sample.fields[suffix] = data.decode("utf-8-sig", errors="replace")
        if data.decode("utf-8-sig", errors="ignore") != sample.fields[suffix]:
            sample.mended[suffix] = "holds bytes that are not UTF-8; they are U+FFFD here"
        return
    try:
        found = parse_object(data, other="json")
    except ValueError as error:
        sample.problem = f"member '{member.name}' cannot be read: {error}"
        return
    sample.fields |= found.fields
    sample.mended |= found.mended
