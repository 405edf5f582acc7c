"""The ledger as a Ray actor on the driver's node, and the client that calls it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import forward, note
from pipelines.ledger.ledger import Counts, Ledger, State, Tally
from pipelines.ledger.shard import RowSum
from pipelines.ray_internals import actor_in_own_folder

logger = logging.getLogger(__name__)


class LedgerActor(Ledger):
    """A ledger that starts with the units that earlier runs left in the output."""

    def __init__(self, load: Callable[[Ledger], None]) -> None:
        super().__init__()
        forward(self.put_event)  # events of its own process
        self._problem = ""
        try:
            load(self)
        # raised here, the error would reach the driver as a traceback
        except ConfigurationError as error:
            self._problem = str(error)

    def problem(self) -> str:
        """Why the output cannot be read; empty if it can."""
        return self._problem


def start_ledger(load: Callable[[Ledger], None]) -> RemoteLedger:
    """Starts the ledger of a run on the driver's node; it takes no CPU. Close it with the run.

    Args:
        load: Books the units of earlier runs; called once, in the actor.

    Raises:
        ConfigurationError: ``load`` raised it.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(actor_in_own_folder(LedgerActor))
    started = actor.options(num_cpus=0, scheduling_strategy=here).remote(load)
    ledger = RemoteLedger(started)
    try:
        if problem := ray.get(started.problem.remote()):
            raise ConfigurationError(problem)
    except BaseException:
        ledger.close()
        raise
    return ledger


class RemoteLedger:
    """The actor's ledger, as every other process calls it: each method is one call that waits for
    its answer.

    It can be sent to actors and tasks.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def claim(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]:
        """See `Ledger.claim`. The other methods do the same as those of `Ledger`."""
        return ray.get(self._actor.claim.remote(ids, positions))

    def explode(self, parent: bytes, ids: Sequence[str], position: int) -> list[int]:
        return ray.get(self._actor.explode.remote(parent, ids, position))

    def pending(self, keys: Sequence[bytes]) -> list[bool]:
        return ray.get(self._actor.pending.remote(keys))

    def written(self, keys: Sequence[bytes], state: State) -> None:
        ray.get(self._actor.written.remote(keys, state))

    def states(self, keys: Sequence[bytes]) -> list[int | None]:
        return ray.get(self._actor.states.remote(keys))

    def tally(self) -> Tally:
        return ray.get(self._actor.tally.remote())

    def counts(self) -> Counts:
        return ray.get(self._actor.counts.remote())

    def lost(self, limit: int = 20) -> list[int]:
        return ray.get(self._actor.lost.remote(limit))

    def events(self, start: int) -> list[tuple[int, dict[str, Any]]]:
        return ray.get(self._actor.events.remote(start))

    def put_decoder(self, worker: str, confinement: str) -> None:
        # does not wait; calls of one worker arrive in order
        self._actor.put_decoder.remote(worker, confinement)

    def decoders(self) -> list[str]:
        return ray.get(self._actor.decoders.remote())

    def put_split(self, number: int, rows: RowSum, own: RowSum) -> None:
        ray.get(self._actor.put_split.remote(number, rows, own))

    def rows_read(self) -> tuple[RowSum, RowSum]:
        return ray.get(self._actor.rows_read.remote())

    def close(self) -> None:
        """Ends the actor: the graph of the run still refers to it, so that it would stay as long as
        a session that goes on."""
        with contextlib.suppress(Exception):  # where Ray is gone already, so is the actor
            ray.kill(self._actor)

    def take_events(self) -> None:
        """From now on sends the events of this worker to the ledger, without waiting for them to
        arrive.

        An actor that Ray has restarted reports that first.
        """
        forward(lambda event: self._actor.put_event.remote(event))
        # in a task, or on a cluster that does not tell, restarts are not known
        with contextlib.suppress(Exception):
            if ray.get_runtime_context().was_current_actor_reconstructed:
                note(
                    logger,
                    "actor_restarted",
                    "A worker process died; Ray started it again and repeats its blocks.",
                )
