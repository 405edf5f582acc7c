"""LLaVA's form: one JSON array of conversations a split, with media relative to a folder."""

from __future__ import annotations

from typing import Any, BinaryIO

from pipelines.exports.counts import ExportCounts
from pipelines.exports.records import Parts
from pipelines.exports.sft import ConversationForm, in_roles
from pipelines.exports.target import Target


class Llava(ConversationForm):
    """``SPLIT.json``."""

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        turns, uris, video = self.turns_and_media(row)
        paths = self.paths(row, uris)
        record: dict[str, Any] = {"id": row["id"]}
        if paths:
            record["video" if video else "image"] = paths[0] if len(paths) == 1 else paths
        return self.kept(row) | record | {"conversations": in_roles(turns)}

    def final_name(self, split: str) -> str:
        return f"{split}.json"

    def join(self, split: str, parts: Parts, out: BinaryIO) -> None:
        parts.copy_as_array(out)

    def beside(
        self, target: Target, counts: ExportCounts
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        return {}, {"root": self.root(target)}
