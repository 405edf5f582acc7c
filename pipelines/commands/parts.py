"""``--shards N``: the parts of a job side by side on one cluster, each in a driver process of its
own.

A part runs as `--shard I/N` does, with its own ledger, writer and engines, so that no driver is the
limit. This process starts them, shows what they say, and ends with the sum.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from internvl_ops.errors import ConfigurationError
from pipelines import interruption
from pipelines.options.command_line import show
from pipelines.options.job_options import JobOptions
from pipelines.output.compaction import finish_merge
from pipelines.output.folder import OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.overwrite import begin
from pipelines.output.ownership import new_run_id
from pipelines.output.redo import finish_redo
from pipelines.output.refresh import drop_changed
from pipelines.output.shards import forget_parts, sum_of_parts
from pipelines.wiring.media import read_policy

if TYPE_CHECKING:
    from pipelines.cluster import Workers
    from pipelines.sources import SourcePlan

# environment variable of a part: who holds the other end of its standard input
_STARTED_BY = "INTERNVL_BATCH_PARTS_OF"
_WORST_FIRST = (1, 2, 3, 0)  # exit statuses


@dataclass(frozen=True)
class Share:
    """The actors of one part.

    Args:
        engines: Number of engines.
        prepare_actors: Number of prepare actors.
    """

    engines: int
    prepare_actors: int


def shares(options: JobOptions, workers: Workers, cpus: int) -> list[Share]:
    """Divides the cluster among the parts; the first parts get what cannot be divided.

    Args:
        options: Options of the job.
        workers: The actors that one run over the whole input would have.
        cpus: CPUs of the cluster.

    Raises:
        ConfigurationError: There are fewer engines, or fewer CPUs, than the parts need.
    """
    parts = options.shards
    engines = workers.engines
    if not workers.gpus_per_engine and options.engines is None:
        engines = parts  # on CPUs, and before a server, a run has one engine by default
    if engines < parts:
        raise ConfigurationError(
            f"--shards {parts}: the cluster has room for {engines} engines, and each part needs one"
            f" of its own. Lower --shards to {engines} or less, or add GPUs."
        )
    on_cpus = 0 if workers.gpus_per_engine else engines
    prepare = options.prepare_actors or cpus - on_cpus
    if prepare < parts or on_cpus + prepare > cpus:
        raise ConfigurationError(
            f"--shards {parts}: {engines} engines and {max(parts, prepare)} prepare actors, one of"
            f" each for a part at least, need {max(parts, prepare) + on_cpus} CPUs, the cluster has"
            f" {cpus}. Lower --shards, or add CPUs."
        )
    return [
        Share(*(total // parts + (part < total % parts) for total in (engines, prepare)))
        for part in range(parts)
    ]


def begin_parts(options: JobOptions, plan: SourcePlan) -> None:
    """Does what concerns the whole output before its parts begin; one part may not do it beside the
    others.

    Raises:
        ConfigurationError: For ``--refresh``: another run is writing to the output, or an overwrite
            has not ended.
    """
    output = OutputFolder(options.output)
    forget_parts(output, options.shards)
    if options.refresh == "none":
        return
    run_id = new_run_id(datetime.now(UTC))
    with Lease(output, run_id):
        finish_merge(output)
        finish_redo(output)
        begin(output, run_id, wanted=False, kind="", part=True)
        drop_changed(output, plan, read_policy(options, plan))


def run_parts(
    options: JobOptions, workers: Workers, cpus: int, address: str, command: Sequence[str]
) -> int:
    """Runs all parts and returns the exit status of the job: 1 before 2 before 3, if any part ends
    so.

    Args:
        options: Options of the job.
        workers: The actors that one run over the whole input would have.
        cpus: CPUs of the cluster.
        address: Of the cluster.
        command: Command line of this process.

    Raises:
        ConfigurationError: The cluster is too small for so many parts.
    """
    divided = shares(options, workers, cpus)
    running = []
    for part, share in enumerate(divided, 1):
        own = (
            "--shards",
            "1",
            "--shard",
            f"{part}/{options.shards}",
            "--refresh",
            "none",
            "--engines",
            str(share.engines),
        )
        process = subprocess.Popen(
            [
                *command,
                *own,
                "--engines",
                str(share.engines),
                "--prepare-actors",
                str(share.prepare_actors),
            ],
            env=os.environ | {"RAY_ADDRESS": address, _STARTED_BY: str(os.getpid())},
            stdin=subprocess.PIPE,  # its end tells the part that this process is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C comes to this process, which passes it on once
        )
        running.append(process)
        threading.Thread(
            target=_relay, args=(process.stdout, f"[{part}/{options.shards}] "), daemon=True
        ).start()
    try:
        with interruption.phase("running"):
            statuses = [process.wait() for process in running]
    except interruption.Interrupted:
        interruption.say("Interrupted; the parts write what is finished.")
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        return 1
    if said := not_done(statuses):
        show(said)
    if said := sum_of_parts(OutputFolder(options.output), options.shards):
        show(said)
    return next(
        status
        for status in _WORST_FIRST
        if status in {one if one in _WORST_FIRST else 1 for one in statuses}
    )


def end_with_parts() -> None:
    """In a part that `run_parts` started: stops as by SIGTERM once the process that started it is
    gone.

    A part that stayed behind would hold its lease, and the same command, repeated, would be
    refused.
    """
    if os.environ.pop(_STARTED_BY, None):
        threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    # not by sys.stdin, whose lock this thread would hold when the interpreter ends, which aborts it
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def not_done(statuses: Sequence[int]) -> str:
    """Says which parts are not done, and how to go on; empty if all are.

    Args:
        statuses: How the process of each part ended: its exit status, or the number of a signal
            below 0.
    """
    of = len(statuses)
    refused = [f"{part}/{of}" for part, status in enumerate(statuses, 1) if status == 2]
    ended = [
        f"{part}/{of} {_ending(status)}"
        for part, status in enumerate(statuses, 1)
        if status not in (0, 2, 3)
    ]
    said = []
    if ended:
        said.append(
            f"Not done: {', '.join(ended)}. What is written is valid; the same command goes on from"
            " there."
        )
    if refused:
        said.append(
            f"Refused: {', '.join(refused)}; the reason stands above, in the lines of that part."
        )
    return "\n".join(said)


def _ending(status: int) -> str:
    return (
        f"was killed by {signal.Signals(-status).name}"
        if status < 0
        else f"ended with status {status}"
    )


def _relay(lines: IO[str] | None, prefix: str) -> None:
    for line in lines or ():
        sys.stderr.write(prefix + line)
        sys.stderr.flush()
