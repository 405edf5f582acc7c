"""What the parts of a job leave in ``_runs/.shards/``, and the work of the part that ends last.

Each part notes, once its rows are all written, which input it read and how much of it was its own. When the notes of
all parts are about the same input, the sum over the parts is proved. Only then comes what concerns the whole output:
old errors are dropped, documents are made.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from internvl_ops.errors import ConfigurationError
from pipelines.ledger.ledger import Counts
from pipelines.ledger.shard import RowSum, Shard, parse_shard
from pipelines.options.job_options import JobOptions
from pipelines.output.card import write_card
from pipelines.output.folder import RUNS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.resume import drop_old_errors
from pipelines.output.side_files import content_of

SHARDS = f"{RUNS}/.shards"
_LISTED = 20


def check_shard(options: JobOptions) -> None:
    """Refuses a part that does not exist, and what a part cannot do.

    Raises:
        ConfigurationError: The message names the options.
    """
    if options.shards > 1 and options.shard is not None:
        raise ConfigurationError(
            f"--shards {options.shards} runs all parts, --shard {options.shard} runs one of them. Give one of the two."
        )
    if options.shards > 1 and options.autoscaling:
        raise ConfigurationError(
            f"--shards {options.shards} --autoscaling: the parts divide a cluster whose size is known. Run each part "
            "by itself with --shard."
        )
    if parse_shard(options.shard) is None and options.shards == 1:
        return
    given = f"--shards {options.shards}" if options.shards > 1 else f"--shard {options.shard}"
    if options.overwrite:
        raise ConfigurationError(
            f"{given} --overwrite: one part cannot replace the output of all. Overwrite without "
            "it, or give a new --output."
        )
    if options.refresh != "none":
        raise ConfigurationError(
            f"{given} --refresh {options.refresh}: parts would change the same files at once. Refresh without it."
        )


@dataclass(frozen=True)
class PartDone:
    """The note of a part whose rows are all written.

    Args:
        run_id: The run that wrote them.
        read: All rows of the input, as this part saw them.
        own: Those that are this part's own.
        counts: Units of the part; see `pipelines.ledger.ledger.Counts`.
    """

    run_id: str
    read: RowSum
    own: RowSum
    counts: Counts


def note_part(output: OutputFolder, shard: Shard, done: PartDone) -> None:
    """Writes the note of a part."""
    output.write_bytes(_name(shard), json.dumps(asdict(done)).encode())


def parts_done(output: OutputFolder, shard: Shard, read: RowSum) -> dict[int, PartDone]:
    """The notes of all parts that are about an input of these rows, by number."""
    found = {}
    for part in range(1, shard.of + 1):
        done = _parse(content_of(output, _name(Shard(part, shard.of))))
        if done is not None and done.read == read:
            found[part] = done
    return found


def close_parts(
    output: OutputFolder, run_id: str, shard: Shard, done: PartDone, finish: Callable[[OutputFolder], None]
) -> str:
    """Ends a job of parts, if this part is the last one; says what is missing if it is not.

    Args:
        output: The output.
        run_id: This run.
        shard: This part.
        done: Its note.
        finish: Makes what is derived from the whole output.

    Returns:
        Lines for the summary.

    Raises:
        ConfigurationError: The parts do not add up to the input.
    """
    note_part(output, shard, done)
    found = parts_done(output, shard, done.read)
    missing = [part for part in range(1, shard.of + 1) if part not in found]
    if missing:
        shown = ", ".join(f"{part}/{shard.of}" for part in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED:,} more" if len(missing) > _LISTED else ""
        return (
            f"  parts     {len(found):,} of {shard.of:,} are done over this input; still to run: --shard {shown}{more}"
        )
    own = functools.reduce(RowSum.__add__, (part.own for part in found.values()), RowSum())
    if own != done.read:
        raise ConfigurationError(
            f"The {shard.of:,} parts have {own.rows:,} rows of their own, the input has {done.read.rows:,}: rows are "
            "missing, or in two parts. This is an error of the program; what is written is valid."
        )
    closing = OutputFolder(output.uri)
    try:
        with Lease(closing, run_id, shard=Shard(0, shard.of)):
            drop_old_errors(closing)  # parts leave these to the end, as several may share a file
            write_card(closing, run_id)
            finish(closing)
    except ConfigurationError as error:  # another part ended at the same moment, or the next night has begun
        return f"  parts     all {shard.of:,} have ended; another run ends the job: {error}"
    return f"  parts     all {shard.of:,} have ended: {_sum(list(found.values()))}"


def sum_of_parts(output: OutputFolder, of: int) -> str:
    """The sum over all parts as a line; empty if they have not all ended over the same input."""
    first = _parse(content_of(output, _name(Shard(1, of))))
    found = {} if first is None else parts_done(output, Shard(1, of), first.read)
    return f"All {of:,} parts: {_sum(list(found.values()))}" if len(found) == of else ""


def _sum(parts: list[PartDone]) -> str:
    total = {name: sum(getattr(part.counts, name) for part in parts) for name in asdict(parts[0].counts)}
    written = total["results"] + total["already_done"], total["errors"] + total["already_failed"]
    return f"{total['units']:,} units in = {written[0]:,} results + {written[1]:,} errors"


def _name(shard: Shard) -> str:
    return f"{SHARDS}/{shard.of}/{shard.part}.json"


def _parse(data: bytes | None) -> PartDone | None:
    try:
        values = json.loads(data or b"null")
        sums = {name: RowSum(**values[name]) for name in ("read", "own")}
        return PartDone(run_id=values["run_id"], counts=Counts(**values["counts"]), **sums)
    except (ValueError, TypeError, KeyError):
        return None
