"""Where parts are written: in this process, or as tasks of a Ray cluster, whose nodes fetch media
side by side."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipelines.exports.options import ExportOptions
from pipelines.ray_address import address_of, check_address, check_listening
from pipelines.run_folder import worker_folder


@contextlib.contextmanager
def runner(
    options: ExportOptions, *, wanted: bool
) -> Iterator[Callable[[Callable[..., Any], Iterable[Any]], Any]]:
    """A function like `map`.

    Args:
        options: Options of the export.
        wanted: Whether a cluster makes it faster. Without ``--ray-address`` or RAY_ADDRESS, this
            process does all.

    Raises:
        ConfigurationError: The cluster does not answer.
    """
    check_address(options)
    address, where = address_of(options)
    if not wanted or not (options.ray_address or where == "RAY_ADDRESS"):
        yield map
        return
    import ray

    if address not in ("local", "auto"):
        check_listening(address, where)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield _map_on_ray
    finally:
        ray.shutdown()


def _map_on_ray(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Calls ``work`` for each item, as many at once as the cluster has CPUs. A task of a lost node
    is repeated."""
    import ray

    task = ray.remote(max_retries=3)(_call)
    shared = ray.put(work)
    places = max(1, int(ray.cluster_resources().get("CPU", 1)))
    results: dict[int, Any] = {}
    running: dict[Any, int] = {}
    for number, item in enumerate(items):
        running[task.remote(shared, item)] = number
        if len(running) >= places:
            _collect(running, results)
    while running:
        _collect(running, results)
    return [results[number] for number in sorted(results)]


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    worker_folder()
    return work(item)


def _collect(running: dict[Any, int], results: dict[int, Any]) -> None:
    import ray

    (done,), _ = ray.wait(list(running), num_returns=1)
    try:
        results[running.pop(done)] = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
