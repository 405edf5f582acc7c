"""Forms of numbered files: those of the parts, one after the other. A later export keeps those of
earlier rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from pipelines.exports.counts import ExportCounts
from pipelines.exports.files import ExportedFiles, FilesForm, Staged
from pipelines.exports.target import Target


class NumberedForm(FilesForm):
    """Writes numbered files."""

    keeps = True

    def place(self, split: str, number: int) -> str:
        """Final name of a file."""
        raise NotImplementedError

    def beside(
        self, target: Target, counts: ExportCounts
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Small files that stand beside, visible after the others, and details for
        ``export.json``."""
        return {}, {}

    def places(self, staged: Sequence[Staged]) -> dict[str, str]:
        numbers: dict[str, itertools.count[int]] = {}
        return {
            name: self.place(split, next(numbers.setdefault(split, itertools.count())))
            for one in staged
            for split, names in one.files.items()
            for name in names
        }

    def assemble(
        self, target: Target, folder: str, staged: Sequence[Staged], counts: ExportCounts
    ) -> ExportedFiles:
        places = self.places(staged)
        small, details = self.beside(target, counts)
        outcome = ExportedFiles(
            moves=[(name, to) for name, to in places.items() if name != to],
            kept=[name for name, to in places.items() if name == to],
        )
        for name, data in small.items():
            target.write(f"{folder}/{name}", data)
            outcome.moves.append((f"{folder}/{name}", name))
        parts = [
            {
                "key": one.part.key,
                "counts": one.counts.as_dict(),
                "files": {
                    split: [places[name] for name in names] for split, names in one.files.items()
                },
            }
            for one in staged
        ]
        outcome.details = {**details, "parts": parts}
        return outcome
