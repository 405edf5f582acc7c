"""What a person chose to see, as SQL: a table, a search, conditions, an order, and a sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.output.sql import quoted
from pipelines.viewer.database import Column, Database, QueryError, view
from pipelines.viewer.outputs import TABLES, Table

SEARCHED = (
    "id",
    "response",
    "question",
    "phrase",
    "text",
    "kind",
    "message",
    "source",
    "review_text",
    "review_note",
)
_USUAL_ROWS, _MOST_ROWS = 50, 500
_LARGEST_SAMPLE = 100_000


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Rows of one table.

    Args:
        output: Number of the output, from 0.
        table: The table.
        search: Text that a row contains, in the id or the answer, in any case.
        where: A condition in SQL.
        equal: Values of columns; None for null.
        sort: Column to sort by; empty for the order of the files.
        descending: Whether the largest come first.
        sample: Number of rows drawn at random from those chosen; 0 for all.
        seed: Decides the draw: the same rows are drawn again from the same output, also in another
            version.
    """

    output: int = 0
    table: Table = "results"
    search: str = ""
    where: str = ""
    equal: Mapping[str, str | None] = field(default_factory=dict)
    sort: str = ""
    descending: bool = False
    sample: int = 0
    seed: int = 0

    @classmethod
    def parse(cls, given: Mapping[str, str], outputs: int) -> Selection:
        """The selection in the query of a request.

        Raises:
            QueryError: A value is not allowed.
        """
        output = whole(given, "output", 0, outputs - 1)
        table = given.get("table", "results")
        if table not in TABLES:
            raise QueryError(f"table {table!r} is not allowed: {', '.join(TABLES)}")
        try:
            equal = json.loads(given.get("equal") or "{}")
            assert isinstance(equal, dict)
        except (ValueError, AssertionError, RecursionError):
            raise QueryError("equal is no JSON object of columns and their values") from None
        return cls(
            output=output,
            table=table,
            search=given.get("search", ""),
            where=given.get("where", "").strip(),
            equal={name: None if value is None else str(value) for name, value in equal.items()},
            sort=given.get("sort", ""),
            descending=given.get("descending") == "1",
            sample=whole(given, "sample", 0, _LARGEST_SAMPLE),
            seed=whole(given, "seed", 0, 2**63 - 1),
        )

    def source(self, database: Database) -> tuple[str, list[Any]]:
        """``FROM … WHERE …`` with its parameters; draws the sample if there is one.

        Raises:
            QueryError: There is no such column, or a sample's condition cannot be read.
        """
        table = view(self.output, self.table)
        if not database.columns[self.output, self.table]:
            raise QueryError(f"the output has no {self.table}")
        if not self.sample:
            condition, parameters = self._condition(database)
            return f"FROM {table} WHERE {condition}", parameters
        return f"FROM {table} WHERE id IN (SELECT id FROM {quoted(self._drawn(database))})", []

    def order(self, database: Database) -> str:
        if not self.sort:
            return ""
        column = self.column(database, self.sort)
        value = f"len({quoted(column.name)})" if column.kind == "boxes" else quoted(column.name)
        return f"ORDER BY {value} {'DESC' if self.descending else 'ASC'} NULLS LAST, id"

    def column(self, database: Database, name: str) -> Column:
        columns = database.columns[self.output, self.table]
        found = next((column for column in columns if column.name == name), None)
        if found is None:
            raise QueryError(
                f"there is no column {name!r}. Columns:"
                f" {', '.join(column.name for column in columns)}"
            )
        return found

    def _condition(self, database: Database) -> tuple[str, list[Any]]:
        parts, parameters = ["true"], list[Any]()
        names = {
            column.name
            for column in database.columns[self.output, self.table]
            if column.kind == "text"
        }
        if self.search:
            searched = [name for name in SEARCHED if name in names]
            parts.append(
                "(" + " OR ".join(f"{quoted(name)} ILIKE ? ESCAPE '\\'" for name in searched) + ")"
            )
            parameters += [_contains(self.search)] * len(searched)
        for name, value in self.equal.items():
            column = quoted(self.column(database, name).name)
            parts.append(f"{column} IS NULL" if value is None else f"{column}::VARCHAR = ?")
            parameters += [] if value is None else [value]
        if self.where:
            parts.append(f"(\n{self.where}\n)")
        return " AND ".join(parts), parameters

    def _drawn(self, database: Database) -> str:
        """The table with the ids of the sample. md5 is the same everywhere, unlike a database's own
        random numbers."""
        said = json.dumps(
            [
                self.output,
                self.table,
                self.search,
                self.where,
                dict(self.equal),
                self.sample,
                self.seed,
            ]
        )
        name = f"sample_{hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}"
        condition, parameters = self._condition(database)
        draw = f"ORDER BY md5('{self.seed}:' || id), id LIMIT {self.sample}"
        database.derive(
            name,
            f"SELECT id FROM {view(self.output, self.table)} WHERE {condition} {draw}",
            parameters,
        )
        return name


def whole(given: Mapping[str, str], name: str, least: int, most: int) -> int:
    """A whole number in the query of a request; ``least`` if it is not given.

    Raises:
        QueryError: It is no such number.
    """
    text = given.get(name) or str(least)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise QueryError(
            f"{name} {text!r} is not allowed: a whole number from {least:,} to {most:,}"
        )
    return int(text)


def page_of(given: Mapping[str, str]) -> tuple[int, int]:
    """Number of rows, and of rows before them."""
    limit = whole(given, "limit", 1, _MOST_ROWS) if given.get("limit") else _USUAL_ROWS
    return limit, whole(given, "offset", 0, 2**40)


def _contains(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
