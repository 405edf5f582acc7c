"""The command that finds what is near in the vectors of an output."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation.vector_benchmarks import RETRIEVAL
from internvl_ops.stores.redaction import safe_uri
from pipelines.options.command_line import Mode, show
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.ownership import mark, new_run_id, parquet_name
from pipelines.report.logs import configure
from pipelines.search.finding import Found, find
from pipelines.search.options import SearchOptions

MATCHES = pa.schema(
    [
        ("id", pa.string()),
        ("matches", pa.list_(pa.struct([("id", pa.string()), ("similarity", pa.float32())]))),
    ]
)
ROWS_PER_FILE = 100_000


def run(options: SearchOptions, mode: Mode) -> int:
    """Searches, and prints or writes what was found. Returns the exit status."""
    configure(as_json=False)
    check(options)
    found = find(options)
    if options.output is not None:
        show(f"  matches   {write(options, found)}")
    elif options.queries is None or found.recall is None:
        show(in_words(found))
    if found.recall is not None:
        shares = ", ".join(f"at {k}: {share:.1%}" for k, share in found.recall.items())
        show(f"Recall over {len(found.names):,} queries, {shares}.")
        if options.benchmark is not None:
            show(RETRIEVAL[options.benchmark].told())
    return 0


def check(options: SearchOptions) -> None:
    """Refuses options without effect beside the others.

    Raises:
        ConfigurationError: Naming the option.
    """
    several = [name for name in ("query_id", "query_text", "query_image") if getattr(options, name)]
    if options.queries is not None and several:
        raise ConfigurationError(
            f"--{several[0].replace('_', '-')} and --queries: leave one of them out."
        )
    if options.queries is None and options.truth_column is not None:
        raise ConfigurationError(
            f"--truth-column {options.truth_column}: it is a column of --queries. Add that."
        )
    if options.benchmark is not None and options.truth_column is None:
        raise ConfigurationError(
            f"--benchmark {options.benchmark} has no effect: there is no recall; add --queries and"
            " --truth-column."
        )
    if options.queries is None and options.output is not None:
        raise ConfigurationError(
            "--output is for what --queries finds. Leave it out, or add --queries."
        )
    if options.overwrite and options.output is None:
        raise ConfigurationError("--overwrite has no effect without --output. Leave it out.")
    if options.model is not None and not (options.query_text or options.query_image):
        raise ConfigurationError(
            f"--model {options.model} has no effect: no --query-text and no --query-image."
        )


def in_words(found: Found) -> str:
    """What was found, for a terminal."""
    lines = []
    for name, matches in zip(found.names, found.matches, strict=True):
        lines.append(name)
        lines += [f"  {one.similarity:6.3f}  {one.id}" for one in matches] or ["  nothing"]
    return "\n".join(lines)


def write(options: SearchOptions, found: Found) -> str:
    """Writes the matches as Parquet; returns where.

    Raises:
        ConfigurationError: There are results already.
    """
    target = OutputFolder(str(options.output))
    if target.files(RESULTS) and not options.overwrite:
        raise ConfigurationError(
            f"--output {safe_uri(target.uri)} holds results already. Give a new one, or add"
            " --overwrite."
        )
    run_id = new_run_id(datetime.now(UTC))
    with Lease(target, run_id) as lease:
        metadata = {b"task": b"search", **mark(run_id, lease.token)}
        for number, start in enumerate(range(0, max(1, len(found.names)), ROWS_PER_FILE)):
            part = slice(start, start + ROWS_PER_FILE)
            columns = [
                found.names[part],
                [[vars(one) for one in near] for near in found.matches[part]],
            ]
            table = pa.table(
                [
                    pa.array(values, field.type)
                    for values, field in zip(columns, MATCHES, strict=True)
                ],
                schema=MATCHES,
            )
            target.write_table(
                f"{RESULTS}/{parquet_name(run_id, number)}", table.replace_schema_metadata(metadata)
            )
        if options.overwrite:
            target.clear(keep=[run_id])
    return f"{safe_uri(target.uri)}/{RESULTS}/"
