"""InternVL's own form for fine-tuning: a JSON line for each conversation, and a meta file that
names the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.exports.answers import OutputView
from pipelines.exports.conversations import Conversations, Turn
from pipelines.exports.copies import COPIES, PART_BYTES, MediaCopies
from pipelines.exports.counts import ExportCounts, LeftOut
from pipelines.exports.media import MediaOf
from pipelines.exports.options import ExportOptions
from pipelines.exports.records import RecordForm
from pipelines.exports.target import Target

META = "meta.json"
_MAX_TILES = 12  # where the settings of the output do not say it


class ConversationForm(RecordForm):
    """Writes conversations with references to their media, or to copies of them in ``media/``."""

    media_modes = ("copy", "reference")
    names_place = True

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        super().__init__(options, answers)
        self.conversations, self.media = Conversations(answers), MediaOf(answers)
        self.copies = MediaCopies(options, answers) if options.media == "copy" else None
        if self.copies is not None:
            self.part_bytes, self.fetches = PART_BYTES, True

    @property
    def needs(self) -> tuple[str, ...]:
        media = [self.answers.media] if self.answers.media else []
        parts = ["parent", "page", "clip_start", "clip_end", "source_version"]
        kept = self.options.kept_columns or ()
        return ("id", *media, *parts, *self.conversations.needs, *self.splitter.needs, *kept)

    def check(self) -> None:
        super().check()
        _ = self.answers.base  # refuses runs that do not agree

    def check_media(self, rows: Sequence[dict[str, Any]]) -> None:
        if self.copies is not None:
            self.copies.check(rows, self.media.uris)

    def prepared(
        self, rows: list[dict[str, Any]], target: Target
    ) -> Iterator[dict[str, Any] | LeftOut]:
        if self.copies is None:
            yield from rows
        else:
            yield from self.copies.copied(rows, self._uris, target)

    def root(self, target: Target) -> str:
        """The folder that relative paths are relative to."""
        return self.media.root if self.copies is None else self.copies.root(target)

    def paths(self, row: dict[str, Any], uris: list[str]) -> list[str]:
        """The media as a trainer opens them."""
        return [self.media.path(uri) for uri in uris] if self.copies is None else row[COPIES]

    def turns_and_media(self, row: dict[str, Any]) -> tuple[list[Turn], list[str], bool]:
        """The turns, the media's URIs, and whether they are a video.

        Raises:
            LeftOut: The row has no place in a conversation.
        """
        uris = self._uris(row)
        video = self.answers.media_kind == "video" and len(uris) == 1
        return self.conversations.turns(row, 0 if video else len(uris), video=video), uris, video

    def _uris(self, row: dict[str, Any]) -> list[str]:
        if row.get("page") is not None and self.copies is None:
            raise LeftOut("document_page")
        return self.media.uris(row)


class Sft(ConversationForm):
    """``SPLIT.jsonl`` and ``meta.json``."""

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        turns, uris, video = self.turns_and_media(row)
        paths = self.paths(row, uris)
        record: dict[str, Any] = {"id": row["id"]}
        if video:
            record["video"] = paths[0]
            if row.get("clip_start") is not None and row.get("clip_end") is not None:
                record["clip"] = [row["clip_start"], row["clip_end"]]
        elif paths:
            record["image"] = paths[0] if len(paths) == 1 else paths
            # A copy of a page has another size than the page had when it was asked about.
            whole = len(paths) == 1 and row.get("page") is None
            if whole and row.get("width") and row.get("height"):
                record |= {"width": row["width"], "height": row["height"]}
        record["conversations"] = in_roles(turns)
        return self.kept(row) | record

    def beside(
        self, target: Target, counts: ExportCounts
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The meta file: an entry for each split, with what the scripts need to read it."""
        tiles = self.answers.setting("max_tiles")
        meta = {
            f"{self.options.dataset_name}_{split}": {
                "root": self.root(target),
                "annotation": f"{target.address}/{self.final_name(split)}",
                "data_augment": False,
                "max_dynamic_patch": tiles if isinstance(tiles, int) else _MAX_TILES,
                "repeat_time": 1,
                "length": number,
            }
            for split, number in sorted(counts.out.items())
        }
        return {META: json.dumps(meta, indent=2, ensure_ascii=False).encode()}, {}


def in_roles(turns: list[Turn]) -> list[dict[str, str]]:
    """Turns as the family's files have them."""
    return [
        {"from": role, "value": text}
        for question, answer in turns
        for role, text in (("human", question), ("gpt", answer))
    ]
