"""What the parts of a job leave in ``_runs/.shards/``, and the work of the part that ends last.

Each part notes, once its rows are all written, which input it read and how much of it was its own.
When the notes of all parts are about the same input, the sum over the parts is proved. Only then
comes what concerns the whole output: old errors are dropped, documents are made, and the run that
ends last records the whole.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.ledger.ledger import Counts
from pipelines.ledger.shard import RowSum, Shard, parse_shard
from pipelines.options.job_options import JobOptions
from pipelines.output.card import write_card
from pipelines.output.folder import RUNS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.resume import drop_old_errors
from pipelines.output.side_files import content_of
from pipelines.patience import patiently

SHARDS = f"{RUNS}/.shards"
_WHOLE = f"{SHARDS}/whole.json"  # the record of the parts that ended last
_LISTED = 20
_AT_ONCE = 16  # notes that are read at once


def check_shard(options: JobOptions) -> None:
    """Refuses a part that does not exist, and what a part cannot do.

    Raises:
        ConfigurationError: The message names the options.
    """
    if options.shards > 1 and options.shard is not None:
        raise ConfigurationError(
            f"--shards {options.shards} runs all parts, --shard {options.shard} runs one of them."
            " Give one of the two."
        )
    for name, number in (("engines", options.engines), ("prepare-actors", options.prepare_actors)):
        if number is not None and number < options.shards:
            raise ConfigurationError(
                f"--shards {options.shards} --{name} {number}: each part needs one of its own, so"
                f" that these are {options.shards} at least. Raise --{name}, or lower --shards to"
                f" {number}."
            )
    if options.shards > 1 and options.autoscaling:
        raise ConfigurationError(
            f"--shards {options.shards} --autoscaling: the parts divide a cluster whose size is"
            " known. Run each part by itself with --shard."
        )
    if parse_shard(options.shard) is None and options.shards == 1:
        return
    given = f"--shards {options.shards}" if options.shards > 1 else f"--shard {options.shard}"
    if options.overwrite:
        raise ConfigurationError(
            f"{given} --overwrite: the parts run apart, and no one of them may remove what stands"
            " for the others. Leave out one of the two, or give a new --output."
        )
    if options.refresh != "none" and options.shard is not None:
        raise ConfigurationError(
            f"{given} --refresh {options.refresh}: parts would remove rows from the same files at"
            " once. Run it with --shards, which does that before its parts begin, or without"
            " parts."
        )


@dataclass(frozen=True)
class PartDone:
    """The note of a part whose rows are all written.

    Args:
        run_id: The run that wrote them.
        read: All rows of the input, as this part saw them.
        own: Those that are this part's own.
        counts: Units of the part; see `pipelines.ledger.ledger.Counts`.
        started: When the run started, ISO 8601.
        seconds: Seconds that it took until then.
    """

    run_id: str
    read: RowSum
    own: RowSum
    counts: Counts
    started: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Closing:
    """What a part that ended knows about all parts.

    Args:
        said: Lines for the summary.
        whole: The sums over all parts and a record of each, as in ``run.json``; empty if this part
            did not end the job.
    """

    said: str
    whole: dict[str, Any] = field(default_factory=dict)


def note_part(output: OutputFolder, shard: Shard, done: PartDone) -> None:
    """Writes the note of a part, instead of an earlier one. Its name says which input it is
    about."""
    forget_parts(output, shard.of, shard.part)
    output.write_bytes(
        f"{SHARDS}/{shard.of}/{shard.part}{_about(done.read)}", json.dumps(asdict(done)).encode()
    )


def forget_parts(output: OutputFolder, of: int, part: int | None = None) -> None:
    """Removes the notes of all parts, or of one: they begin again, and what they noted of an
    earlier night is over."""
    for name in _notes(output, of):
        if (noted := _part_of(name)) is not None and part in (None, noted):
            output.remove(f"{SHARDS}/{of}/{name}")


def parts_noted(output: OutputFolder, of: int, read: RowSum) -> list[int]:
    """The parts that have a note about an input of these rows. One listing, however many there
    are."""
    found = (_part_of(name) for name in _notes(output, of) if name.endswith(_about(read)))
    return sorted(part for part in found if part is not None and part <= of)


def parts_done(output: OutputFolder, of: int, read: RowSum) -> dict[int, PartDone]:
    """The notes of all parts that are about an input of these rows, by number. Reads several at
    once."""
    parts = parts_noted(output, of, read)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        notes = pool.map(
            lambda part: _parse(content_of(output, f"{SHARDS}/{of}/{part}{_about(read)}")), parts
        )
        return {part: done for part, done in zip(parts, notes, strict=True) if done is not None}


def close_parts(
    output: OutputFolder,
    run_id: str,
    shard: Shard,
    done: PartDone,
    finish: Callable[[OutputFolder], None],
) -> Closing:
    """Ends a job of parts, if this part is the last one; says what is missing if it is not.

    Args:
        output: The output.
        run_id: This run.
        shard: This part.
        done: Its note.
        finish: Makes what is derived from the whole output.

    Raises:
        ConfigurationError: The parts do not add up to the input.
    """
    note_part(output, shard, done)
    there = set(parts_noted(output, shard.of, done.read))
    found = parts_done(output, shard.of, done.read) if len(there) == shard.of else {}
    if missing := [part for part in range(1, shard.of + 1) if part not in (found or there)]:
        shown = ", ".join(f"{part}/{shard.of}" for part in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED:,} more" if len(missing) > _LISTED else ""
        ended = shard.of - len(missing)
        return Closing(
            f"  parts     {ended:,} of {shard.of:,} are done over this input; still to run: --shard"
            f" {shown}{more}"
        )
    own = functools.reduce(RowSum.__add__, (part.own for part in found.values()), RowSum())
    if own != done.read:
        raise ConfigurationError(
            f"The {shard.of:,} parts have {own.rows:,} rows of their own, the input has"
            f" {done.read.rows:,}: rows are missing, or in two parts. This is an error of the"
            " program; what is written is valid."
        )
    whole = _whole(found, run_id)
    closing = OutputFolder(output.uri)
    try:
        with Lease(closing, run_id, shard=Shard(0, shard.of)):
            drop_old_errors(closing)  # parts leave these to the end, as several may share a file
            write_card(closing, run_id)
            finish(closing)
            closing.write_bytes(_WHOLE, json.dumps(whole).encode())
    except ConfigurationError:  # another part ended at the same moment, or the next night has begun
        return Closing(
            f"  parts     all {shard.of:,} have ended and add up; another run is doing what is left"
            " to the last"
        )
    return Closing(f"  parts     all {shard.of:,} have ended: {whole['conservation']}", whole)


def sum_of_parts(output: OutputFolder, of: int) -> str:
    """The sum over all parts as lines; empty if they have not all ended over the same input."""
    try:
        whole = json.loads(content_of(output, _WHOLE) or b"{}")
        read = RowSum(**whole["read"])
        if whole["parts"] != of or len(parts_noted(output, of, read)) != of:
            return ""
        report = f"{safe_uri(output.uri)}/{RUNS}/{whole['closed_by']}/report.html"
        return f"All {of:,} parts: {whole['conservation']}\n  report of all parts    {report}"
    except (ValueError, TypeError, KeyError):
        return ""


def _whole(found: dict[int, PartDone], run_id: str) -> dict[str, Any]:
    total = {
        name: sum(getattr(part.counts, name) for part in found.values())
        for name in asdict(found[1].counts)
    }
    results, errors = (
        total["results"] + total["already_done"],
        total["errors"] + total["already_failed"],
    )
    return {
        "parts": len(found),
        "closed_by": run_id,
        "read": asdict(found[1].read),
        "conservation": f"{total['units']:,} units in = {results:,} results + {errors:,} errors",
        "counts": {"units": total["units"], "results": results, "errors": errors},
        "runs": [
            {
                "part": f"{part}/{len(found)}",
                "run_id": done.run_id,
                "started": done.started,
                "seconds": done.seconds,
                **asdict(done.counts),
            }
            for part, done in sorted(found.items())
        ],
    }


def _notes(output: OutputFolder, of: int) -> list[str]:
    folder = f"{SHARDS}/{of}"
    return patiently(
        lambda: output.list_names(folder), f"{safe_uri(output.uri)}/{folder} could not be listed"
    )


def _about(read: RowSum) -> str:
    """The end of the name of notes about an input of these rows."""
    return f".{read.rows}-{read.hashes:016x}.json"


def _part_of(name: str) -> int | None:
    number = name.partition(".")[0]
    return int(number) if number.isdecimal() else None


def _parse(data: bytes | None) -> PartDone | None:
    try:
        values = json.loads(data or b"null")
        sums = {name: RowSum(**values[name]) for name in ("read", "own")}
        return PartDone(**{**values, **sums, "counts": Counts(**values["counts"])})
    except (ValueError, TypeError, KeyError):
        return None
