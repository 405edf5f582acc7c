"""The ShareGPT form as LLaMA-Factory reads it: one JSON array a split, and
``dataset_info.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from pipelines.exports.copies import COPIES
from pipelines.exports.counts import ExportCounts, LeftOut
from pipelines.exports.records import Parts
from pipelines.exports.sft import ConversationForm, in_roles
from pipelines.exports.target import Target

INFO = "dataset_info.json"


class Sharegpt(ConversationForm):
    """``SPLIT.json`` and ``dataset_info.json``."""

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        turns, uris, _ = self.turns_and_media(row)
        addresses = (
            [self.media.address(uri) for uri in uris] if self.copies is None else row[COPIES]
        )
        media = {self._column: addresses}
        return self.kept(row) | {"id": row["id"], "conversations": in_roles(turns)} | media

    def prepared(
        self, rows: list[dict[str, Any]], target: Target
    ) -> Iterator[dict[str, Any] | LeftOut]:
        root = self.root(target) if self.copies is not None else ""  # addresses are whole
        for row in super().prepared(rows, target):
            yield (
                row
                if isinstance(row, LeftOut) or not root
                else row | {COPIES: [root + one for one in row[COPIES]]}
            )

    @property
    def _column(self) -> str:
        return "videos" if self.answers.media_kind == "video" else "images"

    def final_name(self, split: str) -> str:
        return f"{split}.json"

    def join(self, split: str, parts: Parts, out: BinaryIO) -> None:
        parts.copy_as_array(out)

    def beside(
        self, target: Target, counts: ExportCounts
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        info = {
            f"{self.options.dataset_name}_{split}": {
                "file_name": self.final_name(split),
                "formatting": "sharegpt",
                "columns": {"messages": "conversations", self._column: self._column},
            }
            for split in sorted(counts.out)
        }
        return {INFO: json.dumps(info, indent=2).encode()}, {}
