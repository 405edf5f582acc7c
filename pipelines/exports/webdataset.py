"""Tar shards as WebDataset reads them: of each row its media, its answer as text, and its columns
as JSON."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from pipelines.exports.answers import OutputView
from pipelines.exports.counts import ExportCounts, LeftOut
from pipelines.exports.fetching import MediaFetcher, suffix_of
from pipelines.exports.files import PartFiles
from pipelines.exports.media import MediaOf
from pipelines.exports.numbered import NumberedForm
from pipelines.exports.options import ExportOptions
from pipelines.exports.records import check_export_columns, plain, reason_of
from pipelines.output.markdown import markdown_name

PART_BYTES = 256 << 10  # of results whose media make a part; about a thousand rows
# the first column there is the answer of a row
_TEXTS = ("caption", "text", "json", "answer", "response")


class Webdataset(NumberedForm):
    """``SPLIT-NUMBER.tar``."""

    suffix = ".tar"
    fetches = True
    media_modes = ("copy",)

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        super().__init__(options, answers)
        self.part_bytes = PART_BYTES
        self.media, self.fetcher = MediaOf(answers), MediaFetcher(options, answers)
        self.text = next(name for name in _TEXTS if name in (*answers.own, "response"))
        kept = options.kept_columns
        self.columns = [
            name for name in answers.schema.names if kept is None or name in (*kept, "id")
        ]

    @property
    def needs(self) -> tuple[str, ...]:
        media = [
            "source_version",
            "num_tiles",
            "width",
            "page",
            "clip_start",
            self.answers.media or "",
        ]
        return (*self.columns, *media, self.text, *self.splitter.needs)

    def check(self) -> None:
        check_export_columns(self.options.kept_columns or (), self.answers.schema)

    def check_media(self, rows: Sequence[dict[str, Any]]) -> None:
        self.fetcher.check(rows, self._uris)

    def opened(self, file: BinaryIO) -> Any:
        return _Shard(file)

    def place(self, split: str, number: int) -> str:
        return f"{split}-{number:06d}.tar"

    def write(self, rows: Iterator[pa.Table], files: PartFiles, counts: ExportCounts) -> None:
        limit = self.options.shard_mb << 20
        for table in rows:
            splits = iter(self.splitter.splits_of(table))
            # In the order of the rows, so that the splits go with them.
            for row, media in self.fetcher.fetched(table.to_pylist(), self._uris):
                split = next(splits)
                if split is None or isinstance(media, LeftOut):
                    counts.left_out["split" if split is None else media.reason] += 1  # type: ignore[union-attr]
                    continue
                try:
                    members = self._members(row, media)
                except Exception as error:
                    counts.left_out[reason_of(error, row)] += 1
                    continue
                shard = files.of(split)
                shard.add(row["id"], members)
                counts.out[split] += 1
                if shard.size >= limit:
                    files.end(split)
        self.fetcher.close()

    def _members(self, row: dict[str, Any], media: list[bytes]) -> dict[str, bytes]:
        """The files of a sample, by suffix."""
        suffixes = [
            suffix_of(data, uri) for data, uri in zip(media, self.media.uris(row), strict=True)
        ]
        if len(media) > 1:
            suffixes = [f"{number}.{suffix}" for number, suffix in enumerate(suffixes)]
        columns = {name: row[name] for name in self.columns}
        said = {
            "json": orjson.dumps(columns, default=plain),
            "txt": (row.get(self.text) or "").encode(),
        }
        return dict(zip(suffixes, media, strict=True)) | said

    def _uris(self, row: dict[str, Any]) -> list[str]:
        if row.get("clip_start") is not None:
            raise LeftOut("video_clip")
        return self.media.uris(row)


class _Shard:
    """Writes samples to a tar file; nothing in it tells when or by whom it was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.size = 0

    def __enter__(self) -> _Shard:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._tar.close()

    def add(self, row_id: str, members: dict[str, bytes]) -> None:
        """Adds the files of a sample, which WebDataset finds by the part of their name before the
        first dot."""
        key = markdown_name(row_id).replace(".", "%2E")
        for suffix, data in members.items():
            member = tarfile.TarInfo(f"{key}.{suffix}")
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))
            self.size += len(data)
