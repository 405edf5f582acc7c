"""Boxes as COCO has them: images, annotations in pixels, and categories, in one JSON file a
split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.exports.answers import OutputView
from pipelines.exports.counts import ExportCounts, LeftOut
from pipelines.exports.files import ExportedFiles, PartFiles, Staged
from pipelines.exports.media import MediaOf
from pipelines.exports.options import ExportOptions
from pipelines.exports.records import Parts, RecordForm, plain, write_items
from pipelines.exports.target import Target

_LABELS = ".labels"  # file of a part with its labels, in the order in which they appear
TEXT, OBJECT = "text", "object"  # category of lines of text, and of boxes without a label


class Coco(RecordForm):
    """``SPLIT.json``."""

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        super().__init__(options, answers)
        self.media = MediaOf(answers)
        tasks = (
            str(answers.setting("tasks") or "").split(",")
            if answers.task == "annotate"
            else [answers.task]
        )
        self._reads_text = (
            "ground" not in [name.strip() for name in tasks] and "text" in answers.own
        )
        self._seen: dict[str, None] = {}
        self._categories: dict[str, int] = {}

    @property
    def needs(self) -> tuple[str, ...]:
        media = [self.answers.media] if self.answers.media else []
        kept = self.options.kept_columns or ()
        return (
            "id",
            "boxes",
            "width",
            "height",
            "num_tiles",
            "page",
            *media,
            *self.splitter.needs,
            *kept,
        )

    def check(self) -> None:
        super().check()
        if "boxes" not in self.answers.own:
            raise ConfigurationError(
                "--to coco: the results have no boxes. It is for the commands ground, annotate, and"
                " ocr --ocr-format boxes."
            )
        _ = self.answers.base  # refuses runs that do not agree

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        if row.get("page") is not None:
            raise LeftOut("document_page")
        if row["boxes"] is None:
            raise LeftOut("no_answer")
        if not row["width"] or not row["height"]:
            raise LeftOut("no_size")
        uris = self.media.uris(row)
        if len(uris) != 1:
            raise LeftOut("several_images")
        image = {
            "width": row["width"],
            "height": row["height"],
            "row_id": row["id"],
            **self._place(uris[0]),
        }
        return {
            "image": self.kept(row) | image,
            "boxes": [self._annotation(box) for box in row["boxes"]],
        }

    def _place(self, uri: str) -> dict[str, str]:
        try:
            return {"file_name": self.media.path(uri)}
        except LeftOut:
            return {"file_name": uri.partition("?")[0].rpartition("/")[2], "coco_url": uri}

    def _annotation(self, box: dict[str, Any]) -> dict[str, Any]:
        label = TEXT if self._reads_text else box["label"] or OBJECT
        self._seen[label] = None
        sides = [box["x1"], box["y1"], box["x2"] - box["x1"], box["y2"] - box["y1"]]
        bbox = [round(side, 2) for side in sides]
        annotation = {
            "label": label,
            "bbox": bbox,
            "area": round(sides[2] * sides[3], 2),
            "iscrowd": 0,
        }
        return annotation | ({"text": box["label"]} if self._reads_text else {})

    def write(self, rows: Iterator[pa.Table], files: PartFiles, counts: ExportCounts) -> None:
        self._seen = {}
        super().write(rows, files, counts)
        if self._seen:
            files.of(_LABELS).write(orjson.dumps(list(self._seen)))

    def assemble(
        self, target: Target, folder: str, staged: Sequence[Staged], counts: ExportCounts
    ) -> ExportedFiles:
        # Numbered as they appear, so that they keep their numbers as the output grows, and over all
        # splits.
        for one in staged:
            for name in one.files.get(_LABELS, ()):
                for label in orjson.loads(target.read(name)):
                    self._categories.setdefault(label, len(self._categories) + 1)
        return super().assemble(target, folder, staged, counts)

    def final_name(self, split: str) -> str:
        return f"{split}.json"

    def join(self, split: str, parts: Parts, out: BinaryIO) -> None:
        info = {
            "description": self.options.dataset_name,
            "task": self.answers.task,
            "model": self.answers.model,
        }
        out.write(b'{"info": ' + orjson.dumps(info) + b',\n"licenses": [],\n"categories": ')
        categories = ({"id": number, "name": label} for label, number in self._categories.items())
        write_items(map(orjson.dumps, categories), out)
        out.write(b',\n"images": ')
        write_items(self._images(parts), out)
        out.write(b',\n"annotations": ')
        write_items(self._annotations(parts), out)
        out.write(b"}\n")

    def beside(
        self, target: Target, counts: ExportCounts
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        return {}, {"root": self.media.root}

    def _images(self, parts: Parts) -> Iterator[bytes]:
        for number, line in enumerate(parts.lines(), 1):
            yield orjson.dumps({"id": number} | orjson.loads(line)["image"], default=plain)

    def _annotations(self, parts: Parts) -> Iterator[bytes]:
        ids = itertools.count(1)
        for number, line in enumerate(parts.lines(), 1):
            for box in orjson.loads(line)["boxes"]:
                category = self._categories[box.pop("label")]
                yield orjson.dumps(
                    {"id": next(ids), "image_id": number, "category_id": category} | box
                )
