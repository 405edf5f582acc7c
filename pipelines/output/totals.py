"""Totals of what a run has written: units, tokens, errors by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.tasks.outcomes import COUNTED
from pipelines.output.sorts import Sorts

# columns whose values a report shows as histograms
SPREAD = ("completion_tokens", "prompt_tokens", "num_tiles")


@dataclass
class Totals:
    """Totals of what a run has written so far."""

    results: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tiles: int = 0
    unparsed: int = 0  # answers in which the task found nothing
    # units by value of each of `SPREAD`
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    messages: dict[str, Sorts] = field(default_factory=dict)  # messages of the errors, by kind
    notes: Sorts = field(default_factory=Sorts)  # notes of the results

    def add_results(self, rows: pa.Table, unparsed: str | None = None) -> None:
        """Counts finished units.

        Args:
            rows: As in ``results/``. Columns of `COUNTED` that the outcome of the task does not
                have are missing.
            unparsed: Column that is null if the task found nothing in the answer.
        """
        there = {
            name: rows[name] for name in (*COUNTED.names, "num_tiles") if name in rows.column_names
        }
        self.results += len(rows)
        self.prompt_tokens += _sum(there.get("prompt_tokens"))
        self.completion_tokens += _sum(there.get("completion_tokens"))
        self.tiles += _sum(there.get("num_tiles"))
        for name in SPREAD:
            if name in there:
                values = pc.value_counts(there[name].drop_null())
                pairs = zip(
                    values.field("values").to_pylist(),
                    values.field("counts").to_pylist(),
                    strict=True,
                )
                self.lengths.setdefault(name, Counter()).update(dict(pairs))
        if "finish_reason" in there:
            self.finish_reasons.update(there["finish_reason"].to_pylist())
        for notes in rows["notes"].to_pylist():
            self.notes.add_unit(notes or ())
        if unparsed is not None:
            self.unparsed += rows[unparsed].null_count

    def add_error(self, kind: str, message: str, names: Collection[str] = ()) -> None:
        """Counts one failed unit.

        Args:
            kind: Kind of the error.
            message: Message of the error.
            names: Name of the unit and locations of its media; see `sort_of`.
        """
        self.errors += 1
        self.kinds[kind] += 1
        self.messages.setdefault(kind, Sorts()).add_unit([message], names)


def _sum(column: pa.ChunkedArray | None) -> int:
    return 0 if column is None else pc.sum(column).as_py() or 0
