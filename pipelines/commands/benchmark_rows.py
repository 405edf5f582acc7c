"""Converts the published data of a benchmark, in any of its forms, to rows that are asked and
scored."""

from __future__ import annotations

import ast
import base64
import binascii
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import orjson
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS, Benchmark
from internvl_ops.evaluation.subtitles import NONE, SUFFIX, as_text
from internvl_ops.stores.redaction import safe_uri
from pipelines.sources import SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.storage import open_input

TYPES = {
    "answers": pa.list_(pa.string()),
    "options": pa.list_(pa.string()),
    "box": pa.list_(pa.float64()),
    "start": pa.float64(),
    "end": pa.float64(),
}
QUESTION_ID = ("question_id", "questionId", "index")
MEDIA_COLUMNS = {"image": ("image", "images"), "video": ("video", "videoID", "video_path")}
INLINE = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
SHARD = re.compile(r"-\d+-of-\d+$")
_ADDRESS = re.compile(r"https?://|data:", re.IGNORECASE)
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{2,5}$|/$")
_LONGEST_TRUTH = 1 << 20
# characters; no picture is shorter, and what stands for another row's picture is
_SHORTEST_BASE64 = 64


@dataclass(frozen=True)
class BenchmarkRows:
    """Reads one benchmark's data; a `pipelines.sources.options.Reshape`.

    Args:
        name: Name of the benchmark.
        input: The input as given, for messages.
        split: The value of ``--split``; None to take it from the file names.
        media_column: Column with the media, instead of the usual names.
        id_column: Column with ids; None to use a row's position in the data.
        answers: Answers by question id, from an annotation file.
        subtitles: Folder with one SRT file per video, named like the video.
        truth: Suffix of the files with the right answers beside the images of a folder; empty if
            the data hold them.
        published_folders: Whether videos are in the folders in which the benchmark publishes them.
    """

    name: str
    input: str
    split: str | None = None
    media_column: str | None = None
    id_column: str | None = None
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    published_folders: bool = False
    truth: str = ""
    subtitles: str | None = None

    @property
    def benchmark(self) -> Benchmark:
        return BENCHMARKS[self.name]

    @property
    def fields(self) -> pa.Schema:
        """A row's columns besides its id and media."""
        names = [
            "split",
            "question_id",
            *self.benchmark.fields,
            *(["subtitles"] if self.subtitles else []),
        ]
        return pa.schema([(name, TYPES.get(name, pa.string())) for name in names])

    def columns(self, given: pa.Schema) -> pa.Schema:
        """The columns after `rows`: id, media, and `fields`.

        Raises:
            ConfigurationError: The data lacks a column that the benchmark needs.
        """
        self._chosen(given.names)
        if self.id_column and self.id_column not in given.names:
            raise ConfigurationError(
                f"--id-column {self.id_column}: {self.input} has no such column. There are:"
                f" {', '.join(given.names)}."
            )
        media = given.field(self._media(given.names))
        kind = INLINE if _is_text(media.type) and self.benchmark.media == "image" else media.type
        if self.benchmark.place is not None and self.benchmark.media == "image":
            kind = pa.string()
        if self.benchmark.more_media:
            kind = pa.list_(INLINE)
        return pa.schema([("id", pa.string()), (self.benchmark.media, kind), *self.fields])

    def rows(self, plan: SourcePlan, split: Split, raw: RawRows) -> RawRows:
        """Converts rows to the columns of `columns`. A row that cannot be asked or scored becomes a
        problem."""
        chosen = self._chosen(list(raw.columns))
        values = {
            name: _values(plan, column, raw.columns[column]) for name, column in chosen.items()
        }
        part, problems = "" if self.truth else self.split_of(split.name), dict(raw.problems)
        samples: list[dict[str, Any]] = []
        shown = self._subtitles(raw, problems)
        if self.truth:
            images = raw.columns[self._media(list(raw.columns))].to_pylist()
            values["answers"] = [
                self._truth(image, index, problems) for index, image in enumerate(images)
            ]
        several = self._several(raw) if self.benchmark.more_media else None
        for index in range(len(raw.numbers)):
            row = {name: column[index] for name, column in values.items()}
            if several is not None:
                row["pictures"] = len(several[index])
            sample: dict[str, Any] = {
                "split": part,
                "question_id": _as_id(row.pop("question_id", None)),
            }
            if sample["question_id"] in self.answers:
                row["answers"] = list(self.answers[sample["question_id"]])
            try:
                if index not in problems:
                    sample |= self.benchmark.read(row, part)
            except (ValueError, TypeError) as error:
                problems[index] = f"{self.benchmark.title}: {error}"
            samples.append(sample | ({"subtitles": shown[index]} if shown else {}))
        columns = {field.name: _column(samples, field) for field in self.fields}
        columns["id"] = self._ids(split, raw)
        categories = [str(sample.get("category") or "") for sample in samples]
        if several is None:
            columns[self.benchmark.media] = self._pictures(raw, categories)
        else:
            columns[self.benchmark.media] = pa.array(several, pa.list_(INLINE))
        return RawRows(columns, raw.numbers, problems)

    def split_of(self, file: str) -> str:
        """The benchmark's split that a file is of: as ``--split``, its name or its folder says,
        else that itself."""
        folder, _, name = file.rpartition("/")
        stem = SHARD.sub("", name.split(".")[0])
        for said in (self.split or stem, stem, folder.rpartition("/")[2]):
            if named := [split for split in self.benchmark.splits if split in said]:
                return max(named, key=len)
        return self.split or stem

    def _chosen(self, names: Sequence[str]) -> dict[str, str]:
        """Columns by what the benchmark calls them."""
        benchmark, chosen = self.benchmark, {}
        wanted = {**benchmark.needs, **benchmark.may_have, "question_id": QUESTION_ID}
        for name, candidates in wanted.items():
            there = [candidate for candidate in candidates if candidate in names]
            if there:
                chosen[name] = there[0]
            elif name in benchmark.needs and not (
                name == "answers" and (self.answers or self.truth)
            ):
                raise ConfigurationError(
                    f"--benchmark {self.name}: {self.input} has no column"
                    f" {' or '.join(map(repr, candidates))} for the {name}. Columns there:"
                    f" {', '.join(names) or 'none'}. Is it the data of another benchmark?"
                )
        return chosen

    def _media(self, names: Sequence[str]) -> str:
        usual = self.benchmark.media_names or MEDIA_COLUMNS[self.benchmark.media]
        candidates = (self.media_column,) if self.media_column else usual
        there = [name for name in candidates if name in names]
        if not there:
            raise ConfigurationError(
                f"--benchmark {self.name}: {self.input} has no column"
                f" {' or '.join(map(repr, candidates))}. Columns there:"
                f" {', '.join(names) or 'none'}. Name yours by --{self.benchmark.media}-column."
            )
        return there[0]

    def _ids(self, split: Split, raw: RawRows) -> pa.Array:
        if self.id_column:
            return pa.array(
                [_as_id(value) for value in raw.columns[self.id_column].to_pylist()], pa.string()
            )
        if self.truth and raw.ids is not None:
            return raw.ids
        return pa.array([f"{split.name}:{number}" for number in raw.numbers.tolist()], pa.string())

    def _pictures(self, raw: RawRows, categories: Sequence[str]) -> pa.Array:
        name = self._media(list(raw.columns))
        column = raw.columns[name]
        place = self.benchmark.place
        if place is not None and self.benchmark.media == "image" and not self.media_column:
            names = column.to_pylist()
            return pa.array(
                [None if one is None else place(_as_id(one) or "", "") for one in names],
                pa.string(),
            )
        if not _is_text(column.type):
            return column
        if self.benchmark.media == "video":
            named = zip(column.to_pylist(), categories, strict=True)
            return pa.array(
                [video and self._video(video, category) for video, category in named], pa.string()
            )
        return pa.array([_inline(text) for text in column.to_pylist()], INLINE)

    def _several(self, raw: RawRows) -> list[list[dict[str, Any]]]:
        """The images of each row, from a column with one or a list of them, and the columns for
        further ones."""
        names = [
            self._media(list(raw.columns)),
            *(name for name in self.benchmark.more_media if name in raw.columns),
        ]
        columns = [raw.columns[name].to_pylist() for name in names]
        return [
            [one for value in row for one in _images(value)] for row in zip(*columns, strict=True)
        ]

    def _subtitles(self, raw: RawRows, problems: dict[int, str]) -> list[str]:
        """The subtitles of each row's video as text. Empty if the model should see no subtitles."""
        if not self.subtitles:
            return []
        column, found = raw.columns[self._media(list(raw.columns))], []
        for index, video in enumerate(column.to_pylist()):
            video = (video.get("path") if isinstance(video, dict) else video) or ""
            name = PurePosixPath(str(video)).name
            name = name if not _SUFFIX.search(name) else name.rpartition(".")[0]
            try:
                found.append(
                    _subtitle_file(f"{self.subtitles.rstrip('/')}/{name}{SUFFIX}") if name else NONE
                )
            except ValueError as error:
                problems.setdefault(index, f"subtitles of {name}: {error}")
                found.append(NONE)
        return found

    def _truth(self, image: str, index: int, problems: dict[int, str]) -> list[str]:
        """The right answer about an image, from the file beside it."""
        uri = image.rpartition(".")[0] + self.truth
        try:
            with open_input(uri) as file:
                text = file.read(_LONGEST_TRUTH + 1).decode("utf-8-sig")
            if len(text) <= _LONGEST_TRUTH:
                return [text.strip()]
            problems.setdefault(
                index, f"{safe_uri(uri)} has more than {_LONGEST_TRUTH:,} characters"
            )
        except UnicodeDecodeError:
            problems.setdefault(index, f"{safe_uri(uri)} is not UTF-8; convert it")
        except FileNotFoundError:
            problems.setdefault(index, f"there is no {safe_uri(uri)} with what the image says")
        return [""]

    def _video(self, video: str, category: str) -> str:
        if _ADDRESS.match(video):
            return video
        benchmark = self.benchmark
        if benchmark.place is not None and self.published_folders:
            video = benchmark.place(video, category)
        return video if _SUFFIX.search(video) else video + benchmark.video_suffix


@lru_cache(maxsize=4)  # the questions about a video stand one after the other
def _subtitle_file(uri: str) -> str:
    try:
        with open_input(uri) as file:
            return as_text(file.read())
    except FileNotFoundError:
        return NONE  # a video in which nobody speaks


def read_annotations(path: str, text: bytes) -> dict[str, list[str]]:
    """Answers by question id from an annotation file: of the VQA challenges (TextVQA, VizWiz) or of
    DocVQA.

    Raises:
        ConfigurationError: The file has neither form.
    """
    try:
        value = orjson.loads(text)
        entries = value.get("annotations") or value["data"]
        return {
            str(entry.get("question_id", entry.get("questionId"))): list(_answers(entry))
            for entry in entries
        }
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f'--annotations {path}: {error!r}. It has to be JSON: {{"annotations":'
            ' [{"question_id": 1, "answers": [{"answer": "…"}, …]}, …]}, or {"data":'
            ' [{"questionId": 1, "answers": ["…"]}, …]}.'
        ) from None


def _answers(entry: dict[str, Any]) -> Iterator[str]:
    for answer in entry["answers"]:
        yield str(answer["answer"] if isinstance(answer, dict) else answer)


def _values(plan: SourcePlan, name: str, column: pa.Array) -> list[Any]:
    values = column.to_pylist()
    if name in plan.details.get("json_text", ()):  # its values have no type in common
        return [None if value is None else orjson.loads(value) for value in values]
    return values


def _column(samples: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    return pa.array([sample.get(field.name) for sample in samples], field.type)


def _as_id(value: Any) -> str | None:
    return None if value is None else str(value)


def _inline(text: str | None) -> dict[str, Any] | None:
    """A path, or an image in base64, as in MMBench's tables."""
    if not text:
        return None
    if len(text) < _SHORTEST_BASE64 or "." in text:
        return {"path": text}
    try:
        return {"bytes": base64.b64decode(text, validate=True)}
    except binascii.Error:
        return {"path": text}


def _images(value: Any) -> list[dict[str, Any]]:
    """The images in one cell: a struct, a path, base64, or a list of these, also in Python's
    notation."""
    if isinstance(value, str) and value.startswith("["):
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(value)
    found = value if isinstance(value, list | tuple) else [value]
    images = [_inline(one) if isinstance(one, str) else one for one in found]
    return [one for one in images if one]


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
