"""The options of a source, its answer at start (plan), and the work of its tasks (splits)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import pyarrow as pa

from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from internvl_ops.media.sniff import DOCUMENT_SUFFIXES, IMAGE_SUFFIXES
from internvl_ops.stores.base import Settings
from pipelines.columns import READ

if TYPE_CHECKING:
    from pipelines.sources.raw_rows import RawRows
    from pipelines.sources.wanted import Wanted

InputFormat = Literal[
    "auto",
    "parquet",
    "jsonl",
    "csv",
    "txt",
    "webdataset",
    "files",
    "delta",
    "iceberg",
    "lance",
    "datasets",
]

INPUT_FORMATS: tuple[str, ...] = get_args(InputFormat)

# Column names that are treated as media even if no option names them.
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
    "document": DOCUMENT_SUFFIXES,
}

PROMPT_COLUMNS = ("question", "phrase", "choices")  # decide what is asked, in most tasks
_SUFFIXES_SHOWN = 8
# key in the details of a plan, for formats that have no media column
SEVERAL_MEDIA = "several_media"
POSITION_BITS = 40  # bits for a row's number within its file, in `__position`


class Reshape(Protocol):
    """Converts rows from a reader into rows with other columns. Picklable."""

    def columns(self, given: pa.Schema) -> pa.Schema:
        """The columns after `rows`. Raises ConfigurationError if ``given`` are not the right
        ones."""

    def rows(self, plan: SourcePlan, split: Split, raw: RawRows) -> RawRows:
        """The same number of rows, in those columns."""


@dataclass(frozen=True)
class SourceOptions:
    """What to read, and the meaning of columns.

    Args:
        uri: A manifest file, a directory or glob of manifest parts or media files; a local path, or
            a URI of any scheme of `internvl_ops.stores.schemes`.
        format: ``auto`` decides by suffix; name the format if the suffix does not tell.
        id_column: Column that identifies a row. By default ``id`` if there is one; otherwise ids
            are made.
        image_column: Column with images. At most one of the three media columns may be named.
        video_column: Column with videos. With ``txt`` and ``files``, naming it makes every entry a
            video.
        document_column: Column with documents; with ``txt`` and ``files`` it works in the same way.
        limit: Read only this many rows, from the start; with `where`, this many of those that are
            wanted.
        prompt_columns: Columns whose values contribute to a made id, besides the media.
        media_optional: Whether a row, or the whole manifest, may have no media.
        without_media: Read no media, even if the manifest has a column of them; the column is
            carried.
        page_by_page: Whether a folder of TIFFs is one of documents if one of the first has several
            pages.
        files: The files of the manifest, if `uri` is a file that names them; the order is theirs.
        recursive: Whether a directory is read with its subdirectories.
        media_root: Base of relative media URIs, instead of the manifest's folder.
        max_bytes: Largest file read from a shard.
        names: Columns to keep, besides those that the job itself reads; all by default. In a CSV
            without a header, the names of its columns.
        where: Condition in SQL on the columns of the input; rows for which it is not true are left
            out.
        s3_anonymous: Read S3 without credentials.
        s3_requester_pays: Pay for requests to S3.
        reshape: Converts the rows of a manifest to other columns; media and id are then looked up
            among those.
    """

    uri: str
    format: InputFormat = "auto"
    id_column: str | None = None
    image_column: str | None = None
    video_column: str | None = None
    document_column: str | None = None
    limit: int | None = None
    prompt_columns: tuple[str, ...] = PROMPT_COLUMNS
    media_optional: bool = False
    without_media: bool = False
    page_by_page: bool = False
    files: tuple[str, ...] = ()
    recursive: bool = True
    media_root: str | None = None
    reshape: Reshape | None = None
    max_bytes: int | None = None
    names: tuple[str, ...] = ()
    where: str | None = None
    s3_anonymous: bool = False
    s3_requester_pays: bool = False

    @property
    def settings(self) -> Settings:
        """How stores are read."""
        return Settings(s3_anonymous=self.s3_anonymous, s3_requester_pays=self.s3_requester_pays)

    @property
    def named_media(self) -> dict[MediaKind, str]:
        """Media columns named by an option."""
        named: dict[MediaKind, str | None]
        named = {
            "image": self.image_column,
            "video": self.video_column,
            "document": self.document_column,
        }
        return {kind: name for kind in MEDIA_KINDS if (name := named[kind])}

    @property
    def media_name(self) -> tuple[MediaKind, str]:
        """Kind and column name for formats that have no columns of their own."""
        return next(iter(self.named_media.items()), ("image", "image"))


@dataclass(frozen=True)
class Split:
    """The work of one task: a manifest file, or a part of a directory's listing.

    Args:
        index: Number of the file in the plan; the upper bits of ``__position``.
        uri: The file.
        name: The file relative to the input, as in ``__source`` and in the made ids of error rows.
        first_row: Number of rows of the same index in earlier splits.
        rows: Exact number of rows, if it is known without reading.
        max_rows: Number of rows after which reading stops (``limit``).
        paths: The entries themselves, for a part of a listing.
        constants: Columns that the log of a table states for the whole file, with their value.
        most: Number of wanted rows after which reading stops (``limit`` with ``where``).
    """

    index: int
    uri: str
    name: str
    first_row: int = 0
    rows: int | None = None
    max_rows: int | None = None
    paths: tuple[str, ...] | None = None
    most: int | None = None
    constants: tuple[tuple[str, pa.Scalar], ...] = ()


@dataclass(frozen=True)
class SourcePlan:
    """How the input will be read. Picklable; made by :func:`plan_source`.

    Args:
        options: As given.
        format: The resolved format, never ``auto``.
        base: Folder or prefix that relative media URIs are resolved against, without a trailing
            slash.
        columns: Columns as the reader of the format yields them.
        schema: Passthrough columns: their names and types in every table.
        id_column: Column that holds the id; ``None`` if ids are made.
        media_column: Column that holds the media; ``None`` in a manifest of text alone.
        media_kind: Kind of the media.
        splits: One per manifest file, in the order of the rows.
        total_rows: Exact number of rows, if it can be known cheaply.
        rows_about: About how many rows there are, as far as a sample tells.
        row_bytes: Mean bytes of a row in memory, with its inline media, in the sample.
        sample_uris: Some of the media URIs, as given, for checks at start.
        details: Private data of the format's reader.
        in_path: Columns that are in the paths of the files, not in the files.
        left_out: Number of ignored files of the input, by suffix, the most frequent first.
        looked_at: Number of files checked for ``left_out``.
        looked_at_all: Whether these are all files.
        several_media: Whether a row may have more than one file.
        wanted: Which rows are wanted; None for all.
        snapshot: The state of a table that is read, whatever is written to it meanwhile; empty for
            other inputs.
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
    rows_about: int = 0
    row_bytes: int = 0
    sample_uris: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    in_path: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    looked_at_all: bool = True
    several_media: bool = False
    wanted: Wanted | None = None
    snapshot: dict[str, Any] = field(default_factory=dict)

    @property
    def left_out_in_words(self) -> str:
        """A line about the ignored files; empty if there are none."""
        if not self.left_out:
            return ""
        first = "" if self.looked_at_all else "the first "
        by_suffix = [f"{number:,} × {suffix}" for suffix, number in self.left_out.items()]
        if len(by_suffix) > _SUFFIXES_SHOWN:
            by_suffix[_SUFFIXES_SHOWN:] = [f"{len(by_suffix) - _SUFFIXES_SHOWN} other suffixes"]
        return (
            f"{sum(self.left_out.values()):,} of {first}{self.looked_at:,} files are left out: by"
            f" their suffix they are no {self.media_kind}s ({', '.join(by_suffix)})"
        )

    @property
    def table_schema(self) -> pa.Schema:
        """Schema of every table that :func:`read_split` yields."""
        return pa.schema([pa.field("id", pa.string()), *self.schema, *READ])

    def narrowed(self, names: Sequence[str], renamed: dict[str, str]) -> SourcePlan:
        """The plan with only the columns of ``--columns``, and those that the job itself reads.

        Args:
            names: The columns to keep, as the input names them or as they are called from here on.
            renamed: What each column is called from here on.
        """
        kept = {renamed.get(name, name) for name in names}
        looked_at = () if self.wanted is None else self.wanted.columns
        return replace(
            self,
            columns=pa.schema(
                field
                for field in self.columns
                if (name := renamed[field.name]) in kept
                or self.is_asked(name)
                or field.name in looked_at
            ),
            schema=pa.schema(
                field for field in self.schema if field.name in kept or self.is_asked(field.name)
            ),
        )

    def is_asked(self, column: str) -> bool:
        """Whether a bad value in this column fails the row. Other columns are only carried and
        never fail it."""
        if self.options.reshape or column in (
            self.id_column,
            self.media_column,
            *self.options.prompt_columns,
        ):
            return True
        return column == "sampling_params" or (
            self.media_kind == "video" and column in ("start", "end")
        )

    def place(self, position: int) -> str:
        """A ``__position`` in the form for a person: ``manifest.jsonl:17``."""
        split = self.splits[position >> POSITION_BITS]
        return f"{split.name}:{(position & (1 << POSITION_BITS) - 1) + 1}"
