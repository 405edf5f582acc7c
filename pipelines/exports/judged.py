"""What a filter and reviewers say of units, beside the rows of an export: which rows go on, and
edited answers.

A person outranks a rule: a unit that reviewers call good goes on whatever its verdict is, one that
they call bad does not. Both tables are in memory: about 100 bytes for each unit that is not simply
kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines import columns as c
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.reviews import read_reviews
from pipelines.sources.storage import check_scheme


@dataclass(frozen=True)
class Judged:
    """Verdicts and reviews of units, as a `Beside`.

    Args:
        verdicts: Units that have another verdict than keep, with that verdict.
        known: Units that have a verdict; None if there was no filter.
        reviews: Units that reviewers marked or edited: mark, and edited answer.
        take: Verdicts whose units go on.
        answer: Column that an edited answer replaces.
        key: As in `Beside`.
        needs: As in `Beside`.
    """

    verdicts: dict[str, str]
    known: frozenset[str] | None
    reviews: dict[str, tuple[str | None, str | None]]
    take: frozenset[str]
    answer: str | None
    key: str
    needs: tuple[str, ...]

    def columns(self, schema: pa.Schema) -> pa.Schema:
        return schema

    def join(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        left_out: Counter[str] = Counter()
        wanted: list[int] = []
        edited: dict[int, str] = {}
        for place, unit in enumerate(rows["id"].to_pylist()):
            reason = self._reason(unit)
            if reason:
                left_out[reason] += 1
                continue
            text = self.reviews.get(unit, (None, None))[1]
            if text is not None:
                edited[len(wanted)] = text
            wanted.append(place)
        rows = rows.take(pa.array(wanted, pa.int64()))
        if edited and self.answer in rows.column_names:
            rows = _replaced(rows, str(self.answer), edited)
            if self.answer == "answer" and "turns" in rows.column_names:
                rows = _replaced(rows, "turns", _last_turns(rows["turns"].to_pylist(), edited))
        return rows, left_out

    def _reason(self, unit: str) -> str:
        """Why a unit is left out; empty if it is not."""
        mark = self.reviews.get(unit, (None, None))[0]
        if mark in ("bad", "disputed"):
            return f"review: {mark}"
        if mark == "good" or self.known is None:
            return ""
        if unit not in self.known:
            return "no verdict"
        verdict = self.verdicts.get(unit, "keep")
        return "" if verdict in self.take else f"verdict: {verdict}"


def read_judged(
    output: OutputFolder,
    columns: Collection[str],
    *,
    verdicts: str | None,
    reviews: bool,
    take: Sequence[str],
) -> list[Judged]:
    """What is said of the units of an output: one `Judged`, or none if nothing was asked for.

    Args:
        output: The output that is exported.
        columns: Columns of its results.
        verdicts: Output of a filter over it; None for none.
        reviews: Whether to heed the output's reviews.
        take: Verdicts whose units go on.

    Raises:
        ConfigurationError: There are no verdicts, or no reviews.
    """
    if verdicts is None and not reviews:
        return []
    by_verdict, known, files = ({}, None, []) if verdicts is None else _verdicts(verdicts)
    marked = _reviews(output) if reviews else {}
    answer = c.answer_column(columns)
    said: list[Any] = [files, sorted(marked.items()), sorted(take)]
    key = hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()
    return [
        Judged(by_verdict, known, marked, frozenset(take), answer, key, _needs(answer, columns))
    ]


def _needs(answer: str | None, columns: Collection[str]) -> tuple[str, ...]:
    wanted = (answer, "turns" if answer == "answer" else None)
    return tuple(name for name in wanted if name is not None and name in columns)


def _verdicts(uri: str) -> tuple[dict[str, str], frozenset[str], list[str]]:
    folder = OutputFolder(check_scheme("--verdicts", uri))
    files = folder.files(RESULTS)
    if not files or "verdict" not in folder.read_schema(files[-1]).names:
        raise ConfigurationError(
            f"--verdicts {safe_uri(uri)} holds no verdicts. Give the --output of `internvl-batch"
            " filter`."
        )
    other: dict[str, str] = {}
    known: list[str] = []
    for _, table in folder.read_tables(RESULTS, ["id", "verdict"]):
        ids = table["id"].to_pylist()
        known += ids
        other |= {
            unit: said
            for unit, said in zip(ids, table["verdict"].to_pylist(), strict=True)
            if said != "keep"
        }
    return other, frozenset(known), files


def _reviews(output: OutputFolder) -> dict[str, tuple[str | None, str | None]]:
    table = read_reviews(output)
    if not len(table):
        raise ConfigurationError(
            f"--reviews: {safe_uri(output.uri)} has no reviews. Mark units with `internvl-batch"
            " view` first, or leave the option out."
        )
    return {row["id"]: (row["review"], row["review_text"]) for row in table.to_pylist()}


def _last_turns(turns: list[list[dict[str, Any]]], edited: dict[int, str]) -> dict[int, Any]:
    """The turns of edited rows, in which the last answer is the edited one."""
    changed = {place: turns[place] for place in edited if turns[place]}
    return {
        place: [*had[:-1], had[-1] | {"answer": edited[place]}] for place, had in changed.items()
    }


def _replaced(rows: pa.Table, column: str, values: dict[int, Any]) -> pa.Table:
    there = rows[column].to_pylist()
    for place, value in values.items():
        there[place] = value
    index = rows.schema.get_field_index(column)
    return rows.set_column(
        index, rows.schema.field(index), pa.array(there, rows.schema.field(index).type)
    )
