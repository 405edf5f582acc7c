"""What a source is told (options), what it answers at start (plan), and what travels to the tasks (splits)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import pyarrow as pa

from internvl_ops.media.sniff import IMAGE_SUFFIXES
from pipelines.columns import READ

if TYPE_CHECKING:
    from pipelines.sources.rows import RawRows

Format = Literal["auto", "parquet", "jsonl", "csv", "txt", "webdataset", "files"]
MediaKind = Literal["image", "video", "document"]

FORMATS: tuple[str, ...] = get_args(Format)
MEDIA_KINDS: tuple[MediaKind, ...] = get_args(MediaKind)

# Column names that are taken for media without being named by an option.
DEFAULT_MEDIA_COLUMNS: dict[str, MediaKind] = {
    "image": "image",
    "images": "image",
    "video": "video",
    "document": "document",
    "pdf": "document",
}

MEDIA_SUFFIXES: dict[MediaKind, tuple[str, ...]] = {
    "image": IMAGE_SUFFIXES,
    "video": (
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".flv",
        ".wmv",
        ".ogv",
        ".3gp",
        ".3g2",
        ".mts",
        ".m2ts",
        ".asf",
        ".vob",
        ".m2v",
        ".mxf",
    ),
    "document": (".pdf",),
}

_SUFFIXES_SHOWN = 8
SEVERAL_MEDIA = "several_media"  # in the details of a plan, of a format that has no media column
POSITION_BITS = 40  # of a row's number within its file, in `__position`


class Reshape(Protocol):
    """Turns rows as a reader yields them into rows of other columns. Picklable."""

    def columns(self, given: pa.Schema) -> pa.Schema:
        """The columns after `rows`. Raises ConfigurationError where ``given`` are not the right ones."""

    def rows(self, plan: SourcePlan, split: Split, raw: RawRows) -> RawRows:
        """The same rows, one each, in those columns."""


@dataclass(frozen=True)
class SourceOptions:
    """What to read and which columns mean what.

    Args:
        uri: A manifest file, a directory or glob of manifest parts or media files; a local path or ``s3://``.
        format: ``auto`` goes by suffix; name it when the suffix does not tell.
        id_column: Column that identifies a row. Default: ``id`` where there is one, else an id is made.
        image_column: Column with images. At most one of the three media columns may be named.
        video_column: Column with videos. With ``txt`` and ``files``, naming it makes every entry a video.
        document_column: Column with PDFs; likewise.
        limit: Read the first rows only.
        prompt_columns: Columns whose values count towards a made id, beside the media.
        media_optional: Whether a row, or the whole manifest, may do without media.
        recursive: Whether a directory is read with its subdirectories.
        media_root: What relative media URIs are relative to, instead of the manifest's folder.
        max_bytes: Largest file read out of a shard.
        names: Columns of a CSV that has no header.
        s3_anonymous: Read S3 without credentials.
        reshape: Brings the rows of a manifest into other columns; media and id are then looked for among those.
    """

    uri: str
    format: Format = "auto"
    id_column: str | None = None
    image_column: str | None = None
    video_column: str | None = None
    document_column: str | None = None
    limit: int | None = None
    prompt_columns: tuple[str, ...] = ("question", "phrase", "choices")
    media_optional: bool = False
    recursive: bool = True
    media_root: str | None = None
    reshape: Reshape | None = None
    max_bytes: int | None = None
    names: tuple[str, ...] = ()
    s3_anonymous: bool = False

    @property
    def named_media(self) -> dict[MediaKind, str]:
        """Media columns named by an option."""
        named: dict[MediaKind, str | None]
        named = {"image": self.image_column, "video": self.video_column, "document": self.document_column}
        return {kind: name for kind in MEDIA_KINDS if (name := named[kind])}

    @property
    def media_name(self) -> tuple[MediaKind, str]:
        """Kind and column name for formats that have no columns of their own."""
        return next(iter(self.named_media.items()), ("image", "image"))


@dataclass(frozen=True)
class Split:
    """What one task reads: a manifest file, or a part of a directory's listing.

    Args:
        index: Number of the file in the plan; the upper bits of ``__position``.
        uri: The file.
        name: The file relative to the input; what ``__source`` and made ids of error rows say.
        first_row: Rows of the same index in earlier splits.
        rows: Exact number of rows, where it is known without reading.
        max_rows: Rows after which reading stops (``limit``).
        paths: The entries themselves, for a part of a listing.
    """

    index: int
    uri: str
    name: str
    first_row: int = 0
    rows: int | None = None
    max_rows: int | None = None
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SourcePlan:
    """How the input will be read. Picklable; made by :func:`plan_source`.

    Args:
        options: As given.
        format: The resolved format, never ``auto``.
        base: Folder or prefix that relative media URIs resolve against, without a trailing slash.
        columns: Columns as the reader of the format yields them.
        schema: Passthrough columns: their names and types in every table.
        id_column: Column that holds the id; ``None`` when ids are made.
        media_column: Column that holds the media; ``None`` in a manifest of text alone.
        media_kind: What the media are.
        splits: One a manifest file, in the order of the rows.
        total_rows: Exact, where it costs nothing to know.
        sample_uris: Some of the media URIs, as given, for checks at start.
        details: What the reader of the format found out; its own business.
        in_path: Columns that stand in the paths of the files, not in the files.
        left_out: How many files of the input are not read, by suffix, the most frequent first.
        looked_at: Files that were looked at for that.
        looked_at_all: Whether these are all of them.
        several_media: Whether a row may have more than one file.
    """

    options: SourceOptions
    format: str
    base: str
    columns: pa.Schema
    schema: pa.Schema
    id_column: str | None
    media_column: str | None
    media_kind: MediaKind
    splits: list[Split]
    total_rows: int | None = None
    sample_uris: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    in_path: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    looked_at_all: bool = True
    several_media: bool = False

    @property
    def left_out_in_words(self) -> str:
        """A line on the files that are not read; empty where there are none."""
        if not self.left_out:
            return ""
        first = "" if self.looked_at_all else "the first "
        by_suffix = [f"{number:,} × {suffix}" for suffix, number in self.left_out.items()]
        if len(by_suffix) > _SUFFIXES_SHOWN:
            by_suffix[_SUFFIXES_SHOWN:] = [f"{len(by_suffix) - _SUFFIXES_SHOWN} other suffixes"]
        return (
            f"{sum(self.left_out.values()):,} of {first}{self.looked_at:,} files are left out: by their suffix they "
            f"are no {self.media_kind}s ({', '.join(by_suffix)})"
        )

    @property
    def table_schema(self) -> pa.Schema:
        """Schema of every table that :func:`read_split` yields."""
        return pa.schema([pa.field("id", pa.string()), *self.schema, *READ])

    def is_asked(self, column: str) -> bool:
        """Whether a row is wrong where this column is: the others are only carried, and cost no row."""
        if self.options.reshape or column in (self.id_column, self.media_column, *self.options.prompt_columns):
            return True
        return column == "sampling_params" or (self.media_kind == "video" and column in ("start", "end"))

    def place(self, position: int) -> str:
        """A ``__position`` as a person names it: ``manifest.jsonl:17``."""
        return f"{self.splits[position >> POSITION_BITS].name}:{(position & (1 << POSITION_BITS) - 1) + 1}"
