"""Figures, tables and formulas as pictures: blocks of `ocr --blocks` whose place is known, cut out
of their pages, which are fetched and rendered again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks.block_types import CAPTION
from pipelines.exports.answers import OutputView
from pipelines.exports.copies import PART_BYTES
from pipelines.exports.counts import LeftOut
from pipelines.exports.fetching import MediaFetcher
from pipelines.exports.media import MediaOf
from pipelines.exports.options import ExportOptions
from pipelines.exports.pages import PageRenderer
from pipelines.exports.records import RecordForm
from pipelines.exports.target import Target
from pipelines.output.markdown import markdown_name

FOLDER = "figures"
_CUTS = "__cuts"  # key of a row: its figures, as the record has them
_BLOCKS = "blocks"


class Figures(RecordForm):
    """``figures/NAME-ORDER.jpg`` and ``SPLIT.jsonl``, a line for each page or image."""

    fetches = True

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        super().__init__(options, answers)
        self.part_bytes = PART_BYTES
        self.media, self.fetcher = MediaOf(answers), MediaFetcher(options, answers)
        self._kind: Literal["document", "image"] = (
            "document" if answers.media_kind == "document" else "image"
        )

    @property
    def needs(self) -> tuple[str, ...]:
        media = ["source_version", "num_tiles", "width", "height", self.answers.media or ""]
        kept = self.options.kept_columns or ()
        return ("id", "parent", "page", _BLOCKS, *media, *self.splitter.needs, *kept)

    def check(self) -> None:
        super().check()
        blocks = self.answers.schema.field(_BLOCKS) if _BLOCKS in self.answers.own else None
        if blocks is None or "box" not in [field.name for field in blocks.type.value_type]:
            raise ConfigurationError(
                "--to figures: the results do not say where blocks are. It is for outputs of"
                " `ocr --ocr-format json --blocks`."
            )

    def check_media(self, rows: Sequence[dict[str, Any]]) -> None:
        self.fetcher.check(rows, self.media.uris)

    def prepared(
        self, rows: list[dict[str, Any]], target: Target
    ) -> Iterator[dict[str, Any] | LeftOut]:
        renderer = PageRenderer(
            self.fetcher.policy,
            max_bytes=self.options.max_bytes,
            timeout_s=self.options.fetch_timeout,
            kind=self._kind,
            password=self.fetcher.password,
        )
        try:
            for row in rows:
                try:
                    yield row | {_CUTS: self._cut(row, renderer, target)}
                except LeftOut as left_out:
                    yield left_out
        finally:
            renderer.close()

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        said = {name: row[name] for name in ("id", "parent", "page") if row.get(name) is not None}
        return self.kept(row) | said | {"figures": row[_CUTS]}

    def _cut(
        self, row: dict[str, Any], renderer: PageRenderer, target: Target
    ) -> list[dict[str, Any]]:
        """Writes the figures of a row, and returns what the record says of each."""
        blocks = row[_BLOCKS] or []
        wanted = [
            number
            for number, block in enumerate(blocks)
            if block["type"] in self.options.cut and block["box"] is not None
        ]
        if not wanted:
            raise LeftOut("no_figures")
        uris = self.media.uris(row)
        if len(uris) != 1 or not row["width"] or not row["height"]:
            raise LeftOut("no_size" if len(uris) == 1 else "several_images")
        places = [_place(blocks[number]["box"], row["width"], row["height"]) for number in wanted]
        pictures = renderer.cuts(row, uris[0], places)
        if isinstance(pictures, LeftOut):
            raise pictures
        found = []
        for number, picture in zip(wanted, pictures, strict=True):
            block = blocks[number]
            name = f"{FOLDER}/{markdown_name(row['id'])}-{block['order']}.jpg"
            target.write(name, picture)
            kept = {key: block[key] for key in ("type", "order", "text", "box", "box_points")}
            found.append({"file": name, **kept, "caption": _caption(blocks, number)})
        return found


def _place(box: dict[str, float], width: int, height: int) -> list[float]:
    return [box["x1"] / width, box["y1"] / height, box["x2"] / width, box["y2"] / height]


def _caption(blocks: Sequence[dict[str, Any]], number: int) -> str | None:
    """The caption behind a block, or else before it."""
    beside = (other for other in (number + 1, number - 1) if 0 <= other < len(blocks))
    texts = (blocks[other]["text"] for other in beside if blocks[other]["type"] == CAPTION)
    return next(texts, None)
