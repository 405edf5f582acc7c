"""The ledger as a Ray actor on the driver's node, and as the driver calls it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from internvl_ops.errors import ConfigurationError
from pipelines.ledger import Ledger
from pipelines.output import OutputFolder
from pipelines.resume import Retry, load_output


class LedgerActor(Ledger):
    """A ledger that starts with what earlier runs left in the output."""

    def __init__(self, output_uri: str, retry_errors: Retry, passed_over: Collection[str] = ()) -> None:
        super().__init__()
        self._problem = ""
        try:
            load_output(self, OutputFolder(output_uri), retry_errors=retry_errors, passed_over=passed_over)
        except ConfigurationError as error:  # raised here it would reach the driver in a traceback
            self._problem = str(error)

    def problem(self) -> str:
        """Why the output cannot be read on; empty where it can."""
        return self._problem


def start_ledger(output: OutputFolder, *, retry_errors: Retry, passed_over: Collection[str] = ()) -> Any:
    """The actor's handle, once it has read the output but for ``passed_over``.

    It takes no CPU, and lives and dies with the driver's node.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(LedgerActor)
    ledger = actor.options(num_cpus=0, scheduling_strategy=here).remote(output.uri, retry_errors, passed_over)
    if problem := ray.get(ledger.problem.remote()):
        raise ConfigurationError(problem)
    return ledger


class RemoteLedger:
    """A `Ledger` whose every method is a call to the actor."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._ledger, name)
        return lambda *arguments, **named: ray.get(method.remote(*arguments, **named))
