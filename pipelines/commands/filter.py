"""Judges every unit of an output by rules; see `pipelines.filtering`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines import columns as c
from pipelines.extras import library
from pipelines.filtering.decide import RuleReport, decide
from pipelines.filtering.functions import add_functions
from pipelines.filtering.options import FilterOptions
from pipelines.filtering.rules import VERDICTS, Rule
from pipelines.filtering.rules_file import fit_rules, read_rules
from pipelines.filtering.units import columns_of, names_of, open_units
from pipelines.options.command_line import Mode, show
from pipelines.output.folder import RESULTS, RUNS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.ownership import mark, new_run_id, parquet_name
from pipelines.report.record import versions
from pipelines.run_folder import run_folder

ROWS_PER_FILE = 500_000


def filter_output(options: FilterOptions) -> dict[str, Any]:
    """Judges the units of an output and writes the verdicts.

    Returns:
        The record of the run, as in ``run.json``.

    Raises:
        ConfigurationError: An option or a rule is wrong; nothing was written.
    """
    library("duckdb", "filter", "Filtering")
    rules = read_rules(options.rules)
    source, target = OutputFolder(options.input), OutputFolder(options.output)
    _check_target(source, target, overwrite=options.overwrite)
    joined = {name: OutputFolder(uri) for name, uri in map(_joined, options.join)}
    started = datetime.now(UTC)
    run_id = new_run_id(started)
    with run_folder() as scratch, _units(source, joined, scratch) as (connection, units):
        there = columns_of(connection, "units")
        fitted, notices = fit_rules(rules, names_of(connection, joined))
        answer = c.answer_column(there)
        with _functions(connection, fitted):
            reports = decide(connection, fitted, answer)
        counts = _counts(connection, units)
        record = _record(options, run_id, started, counts, reports, notices)
        _write(connection, target, run_id, record, overwrite=options.overwrite)
    return record


def summary(record: dict[str, Any]) -> str:
    """What a run did, for a terminal."""
    counts, folder = record["counts"], record["output"]
    lines = [f"  note: {notice}" for notice in record["notices"]]
    width = max((len(rule["name"]) for rule in record["rules"]), default=0)
    for rule in record["rules"]:
        odd = f", {rule['not_evaluated']:,} without a value" if rule["not_evaluated"] else ""
        lines.append(
            f"  {rule['name']:<{width}}  {rule['verdict']:<6} {rule['held']:>9,}, {rule['alone']:,}"
            f" alone{odd}"
        )
    parts = " + ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS)
    lines += [f"  {counts['units']:,} units in = {parts}", f"  verdicts  {folder}/{RESULTS}/"]
    return "\n".join([*lines, f"  report    {folder}/{RUNS}/{record['run_id']}/report.html"])


def run(options: FilterOptions, mode: Mode) -> int:
    """Judges the units, and says what the run did. Returns the exit status."""
    show(summary(filter_output(options)))
    return 0


def _check_target(source: OutputFolder, target: OutputFolder, *, overwrite: bool) -> None:
    inner, outer = sorted((f"{source.root}/", f"{target.root}/"), key=len, reverse=True)
    if inner.startswith(outer):
        raise ConfigurationError(
            f"--output {safe_uri(target.uri)} and --input {safe_uri(source.uri)} lie in each other."
            " Name another folder."
        )
    if target.files(RESULTS) and not overwrite:
        raise ConfigurationError(
            f"--output {safe_uri(target.uri)} holds results already. Add --overwrite to replace"
            " those of an earlier run, or name another folder."
        )
    target.check_writable()


def _joined(text: str) -> tuple[str, str]:
    name, equals, uri = text.partition("=")
    if not (equals and uri and name.isidentifier()) or name in ("results", "reviews", "units"):
        raise ConfigurationError(
            f"--join {safe_uri(text)}: give a name and a URI, as in scores=/data/scores."
        )
    return name, uri


@contextlib.contextmanager
def _units(
    source: OutputFolder, joined: dict[str, OutputFolder], scratch: Path
) -> Iterator[tuple[Any, int]]:
    connection, units = open_units(source, joined, scratch)
    try:
        yield connection, units
    finally:
        connection.close()


@contextlib.contextmanager
def _functions(connection: Any, rules: tuple[Rule, ...]) -> Iterator[None]:
    """The functions that the rules call. Removed again: DuckDB complains at exit about those that
    are left."""
    added = add_functions(connection, (name for rule in rules for name in rule.needs))
    try:
        yield
    finally:
        for name in added:
            connection.remove_function(name)


def _counts(connection: Any, units: int) -> dict[str, int]:
    """Units by verdict. Every unit of the input has exactly one verdict, or the run fails."""
    found = dict(
        connection.execute("SELECT verdict, count(*) FROM verdicts GROUP BY verdict").fetchall()
    )
    counts: dict[str, int] = {
        "units": units,
        **{verdict: found.get(verdict, 0) for verdict in VERDICTS},
    }
    (distinct,) = connection.execute("SELECT count(DISTINCT id) FROM verdicts").fetchone()
    if not units == sum(found.values()) == distinct:
        raise RuntimeError(
            f"{units:,} units have {sum(found.values()):,} verdicts on {distinct:,} ids."
        )
    return counts


def _record(
    options: FilterOptions,
    run_id: str,
    started: datetime,
    counts: dict[str, int],
    reports: list[RuleReport],
    notices: list[str],
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "task": "filter",
        "status": "done",
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "input": safe_uri(options.input),
        "output": safe_uri(options.output),
        "rules_file": options.rules,
        "join": [f"{name}={safe_uri(uri)}" for name, uri in map(_joined, options.join)],
        "counts": counts,
        "rules": [vars(report) for report in reports],
        "notices": notices,
        "versions": versions(),
    }


def _write(
    connection: Any, target: OutputFolder, run_id: str, record: dict[str, Any], *, overwrite: bool
) -> None:
    with Lease(target, run_id) as lease:
        metadata = {b"task": b"filter", **mark(run_id, lease.token)}
        query = "SELECT id, verdict, reasons, duplicate_of FROM verdicts ORDER BY id"
        rows = connection.cursor().sql(query).to_arrow_reader(ROWS_PER_FILE)
        for number, table in enumerate(_in_files(rows)):
            target.write_table(
                f"{RESULTS}/{parquet_name(run_id, number)}", table.replace_schema_metadata(metadata)
            )
        folder = f"{RUNS}/{run_id}"
        target.write_bytes(
            f"{folder}/run.json", json.dumps(record, indent=2, ensure_ascii=False).encode()
        )
        target.write_bytes(f"{folder}/report.html", _page(record).encode())
        if overwrite:
            target.clear(keep=[run_id])


def _in_files(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Tables of about `ROWS_PER_FILE` rows; one empty table if there is no row."""
    waiting: list[pa.RecordBatch] = []
    written = False
    for batch in rows:
        waiting.append(batch)
        if sum(map(len, waiting)) >= ROWS_PER_FILE:
            yield pa.Table.from_batches(waiting)
            waiting, written = [], True
    if waiting or not written:
        yield pa.Table.from_batches(waiting, rows.schema)


def _page(record: dict[str, Any]) -> str:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = (Path(__file__).parents[1] / "filtering" / "page.html.jinja").read_text(
        encoding="utf-8"
    )
    return environment.from_string(template).render(run=record)
