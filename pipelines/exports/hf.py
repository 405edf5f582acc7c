"""A folder that ``datasets.load_dataset`` opens and the Hub shows: Parquet with the images, and a
dataset card."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipelines.exports.answers import OutputView
from pipelines.exports.counts import REASONS, ExportCounts, LeftOut
from pipelines.exports.fetching import MediaFetcher, suffix_of
from pipelines.exports.files import ExportedFiles, PartFiles
from pipelines.exports.media import MediaOf
from pipelines.exports.numbered import NumberedForm
from pipelines.exports.options import ExportOptions
from pipelines.exports.parts import json_digest
from pipelines.exports.records import check_export_columns
from pipelines.exports.target import Target

CARD = "README.md"
PART_BYTES = 256 << 10  # of results whose images make a part; about a thousand rows
# as `datasets` stores its feature Image
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PAGE_COLUMNS = ("image", "page_image", "rendered_page")  # the first that results do not have
_ROWS_AT_ONCE = 64  # whose images are in memory, and make a row group
_GROUP_BYTES = 256 << 20
_CATEGORIES = {"caption": "image-to-text", "ocr": "image-to-text",
               "ask": "visual-question-answering", "ground": "object-detection"}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"))  # fmt: skip


class Hf(NumberedForm):
    """``data/SPLIT-NUMBER.parquet`` and ``README.md``."""

    suffix = ".parquet"
    media_modes = ("copy", "reference")

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        super().__init__(options, answers)
        kept = options.kept_columns
        self.schema = pa.schema(
            [field for field in answers.schema if kept is None or field.name in (*kept, "id")]
        )
        self.media = MediaOf(answers)
        kept_media = answers.media is not None and answers.media in self.schema.names
        with_image = answers.media_kind == "image" and kept_media
        # Pages get a column of their own beside the address of their document.
        self.pages = (
            answers.media_kind == "document" and kept_media and options.media != "reference"
        )
        self.image = answers.media if with_image else None
        if self.pages:
            self.image = next(n for n in _PAGE_COLUMNS if n not in answers.schema.names)
        self.embeds = self.image is not None and options.media != "reference"
        self.fetcher = MediaFetcher(options, answers) if self.embeds else None
        if self.embeds:
            self.part_bytes, self.fetches = PART_BYTES, True

    @property
    def needs(self) -> tuple[str, ...]:
        media = ["source_version", "num_tiles", "width", "page", self.answers.media or ""]
        return (*self.schema.names, *media, *self.splitter.needs)

    def check(self) -> None:
        check_export_columns(self.options.kept_columns or (), self.answers.schema)
        if self.image is not None:
            _ = self.answers.base  # refuses runs that do not agree

    def check_media(self, rows: Sequence[dict[str, Any]]) -> None:
        if self.fetcher is not None:
            self.fetcher.check(rows, self._uris)

    def opened(self, file: BinaryIO) -> Any:
        return contextlib.closing(_Writer(file, self.written))

    def place(self, split: str, number: int) -> str:
        return f"data/{split}-{number:05d}.parquet"

    @property
    def written(self) -> pa.Schema:
        """The columns of the files; ``datasets`` reads from the metadata which of them are
        images."""
        if self.image is None:
            return self.schema.remove_metadata()
        several = self._several
        field = pa.field(self.image, pa.list_(IMAGE) if several else IMAGE)
        if self.pages:
            schema = self.schema.append(field)
        else:
            schema = self.schema.set(self.schema.get_field_index(self.image), field)
        image = {"_type": "Image"}
        feature = {self.image: {"_type": "Sequence", "feature": image} if several else image}
        return schema.with_metadata({"huggingface": json.dumps({"info": {"features": feature}})})

    def write(self, rows: Iterator[pa.Table], files: PartFiles, counts: ExportCounts) -> None:
        for batch in rows:
            for start in range(0, len(batch), _ROWS_AT_ONCE if self.embeds else len(batch)):
                table = batch.slice(start, _ROWS_AT_ONCE) if self.embeds else batch
                self._write(table, files, counts)
        if self.fetcher is not None:
            self.fetcher.close()

    def _write(self, table: pa.Table, files: PartFiles, counts: ExportCounts) -> None:
        splits = self.splitter.splits_of(table)
        images = self._images(table)
        wanted: dict[str, list[int]] = {}
        for row, split in enumerate(splits):
            if split is None:
                counts.left_out["split"] += 1
            elif images is not None and isinstance(images[row], LeftOut):
                counts.left_out[images[row].reason] += 1
            else:
                wanted.setdefault(split, []).append(row)
        for split, numbers in wanted.items():
            counts.out[split] += len(numbers)
            for some in _groups(numbers, images):
                chosen = table.take(some).select(self.schema.names)
                if images is not None:
                    index, field = (
                        self.written.get_field_index(self.image),
                        self.written.field(self.image),
                    )
                    pictures = pa.array([images[row] for row in some], field.type)
                    if self.pages:
                        chosen = chosen.append_column(field, pictures)
                    else:
                        chosen = chosen.set_column(index, field, pictures)
                files.of(split).write(chosen.cast(self.written))

    def _images(self, table: pa.Table) -> list[Any] | None:
        """The value of the image column of each row, or why the row has none; None if there is no
        such column."""
        if self.image is None:
            return None
        several = self._several
        wanted = (self.answers.media, "num_tiles", "width", "page", "source_version")
        columns = [name for name in wanted if name in table.column_names]
        rows = table.select(list(dict.fromkeys(columns))).to_pylist()
        return [
            media if several or isinstance(media, LeftOut) else next(iter(media), None)
            for media in self._media(rows)
        ]

    def _media(self, rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]] | LeftOut]:
        """The images of each row."""
        if self.fetcher is None:
            for row in rows:
                try:
                    yield [
                        {"bytes": None, "path": self.media.address(uri)}
                        for uri in self.media.uris(row)
                    ]
                except LeftOut as left_out:
                    yield left_out
            return
        for row, media in self.fetcher.fetched(rows, self._uris):
            if isinstance(media, LeftOut):
                yield media
                continue
            named = enumerate(zip(media, self._uris(row), strict=True))
            yield [
                {"bytes": data, "path": f"{number}.{suffix_of(data, uri)}"}
                for number, (data, uri) in named
            ]

    @property
    def _several(self) -> bool:
        """Whether a row has a list of images."""
        return not self.pages and pa.types.is_list(self.schema.field(self.image).type)

    def _uris(self, row: dict[str, Any]) -> list[str]:
        """What is fetched for a row: nothing for a document that is no page of it."""
        return [] if self.pages and row.get("page") is None else self.media.uris(row)

    def identity(self) -> dict[str, Any]:
        """With the column of pages, which earlier versions did not write."""
        return super().identity() | ({"pages": self.image} if self.pages else {})

    def assemble(
        self, target: Target, folder: str, staged: Any, counts: ExportCounts
    ) -> ExportedFiles:
        """Keeps a card that the user has edited."""
        before = (target.done() or {}).get("card")
        there = target.read(CARD) if CARD in target.names() else None
        card = self.card(counts).encode()
        edited = there is not None and json_digest(there.decode(errors="replace")) != before
        outcome = super().assemble(target, folder, staged, counts)
        if edited:
            outcome.kept.append(CARD)
            outcome.details["card"] = before
        else:
            target.write(f"{folder}/{CARD}", card)
            outcome.moves.append((f"{folder}/{CARD}", CARD))
            outcome.details["card"] = json_digest(card.decode())
        return outcome

    def card(self, counts: ExportCounts) -> str:
        """The dataset card."""
        total = counts.rows_out
        size = next((name for most, name in _SIZES if total < most), "n>10M")
        files = [
            {"split": split, "path": f"data/{split}-*.parquet"} for split in sorted(counts.out)
        ]
        head: dict[str, Any] = {
            "size_categories": [size],
            "configs": [{"config_name": "default", "data_files": files}],
        }
        if self.answers.task in _CATEGORIES:
            head["task_categories"] = [_CATEGORIES[self.answers.task]]
        rows = "\n".join(
            f"| {split} | {number:,} |" for split, number in sorted(counts.out.items())
        )
        left = "\n".join(
            f"- {number:,} rows are left out: {REASONS.get(reason, REASONS['fetch_…'])}"
            f" (`{reason}`)"
            for reason, number in sorted(counts.left_out.items())
        )
        return f"""---
# license: (choose one; the licenses of the media and of the model apply)
{yaml.safe_dump(head, sort_keys=False).strip()}
---

# {self.options.dataset_name}

Answers of an InternVL model to images, pages or videos, made by internvl-batch.

| | |
|---|---|
| model | `{_inline(self.answers.model)}` |
| task | `{_inline(self.answers.task)}` |
| prompt | `{_inline(self.answers.prompt)}` |

| split | rows |
|---|---:|
{rows}

{left}

```python
from datasets import load_dataset

load_dataset("FOLDER OR NAME OF THIS DATASET")
```

`finish_reason`, `attempts` and `notes` of a row say how its answer came about.
"""


def _groups(numbers: list[int], images: list[Any] | None) -> Iterator[list[int]]:
    """The rows in groups whose images have no more bytes than one Arrow array takes; a row is never
    cut."""
    group: list[int] = []
    size = 0
    for row in numbers:
        value = images[row] if images is not None else None
        several = value if isinstance(value, list) else [value]
        more = sum(len(one["bytes"] or b"") for one in several if one is not None)
        if group and size + more > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += more
    yield group


def _inline(text: str) -> str:
    return " ".join(text.replace("`", "'").replace("|", "\\|").split())


class _Writer:
    """Writes tables of one schema to a Parquet file, a row group each."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()
