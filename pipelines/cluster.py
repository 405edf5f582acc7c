"""The Ray side of a run: connects, checks that the plan fits the cluster, sets the number of rows
in a block."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from internvl_ops.cost import Cost
from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.gpus import find_gpu
from internvl_ops.models.encoders.config import Encoder
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines import interruption
from pipelines.blocks import BLOCK_BYTES, Blocks, Rows, plan_blocks
from pipelines.options.job_options import JobOptions
from pipelines.options.messages import say_now
from pipelines.ray_address import address_of, check_listening
from pipelines.ray_internals import without_greeting
from pipelines.report.measures import RunSetup
from pipelines.wiring.engines import CPU_IN_FLIGHT, GPU_IN_FLIGHT, IN_FLIGHT, Model

logger = logging.getLogger(__name__)

GPU_KIND = "accelerator_type:"
READERS = 2  # manifest files read in parallel; parsing is never the bottleneck
# tasks that split exploded documents and videos into blocks; each takes one block at a time
SPLITTERS = 8

_TOKEN = (
    "Where the cluster authenticates by token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or"
    " RAY_AUTH_TOKEN_PATH to the cluster's."
)


@dataclass(frozen=True)
class Workers:
    """How many actors of each kind run; settled from the options and the resources of the
    cluster."""

    engines: int
    gpus_per_engine: int
    prepare_actors: int
    in_flight: int
    blocks: Blocks


@contextlib.contextmanager
def session(options: JobOptions) -> Iterator[None]:
    """A Ray session with the settings of a run. Afterwards the process has its own settings again.

    A session that the process has already is used and kept. Otherwise the run connects to the
    cluster that the options or ``RAY_ADDRESS`` name, or starts a local one, and disconnects at the
    end.

    Raises:
        ConfigurationError: The cluster does not answer, or the options name another one than the
            process uses.
    """
    with _settings(options):
        if not ray.is_initialized():
            with _own_session(options):
                yield
            return
        if options.ray_address:
            raise ConfigurationError(
                f"--ray-address {safe_uri(options.ray_address)}: this process has a Ray session"
                " already. Leave the option out to use it, or call ray.shutdown() before."
            )
        yield


@contextlib.contextmanager
def _own_session(options: JobOptions) -> Iterator[None]:
    # Ray starts workers at niceness 15. Any other load on the machine then delays the engine's
    # start by minutes. At every start Ray's C++ core logs, as an error, that an actor's arguments
    # are in the object store.
    ours = {"RAY_worker_niceness": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    added = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(added)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)  # Ray sets its own
    try:
        connect(options)
        yield
    finally:
        ray.shutdown()
        for name in added:
            os.environ.pop(name, None)
        if main:
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _settings(options: JobOptions) -> Iterator[None]:
    """Ray Data's settings and messages as a run needs them."""
    log = logging.getLogger("ray.data")
    level = log.level
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False  # the job has its own progress line
    context.target_max_block_size = BLOCK_BYTES
    # An engine may take many minutes to load, and a long row may take minutes to answer; neither is
    # a hang.
    context.execution_no_progress_timeout_s = 6 * 3600
    context.print_on_execution_start = False
    # polling costs one thread per task, and nobody reads the figure
    context.memory_usage_poll_interval_s = None
    # An actor that fails to start fails again the next time: a file is missing, or the device
    # refuses the model.
    context.actor_init_retry_on_errors = False
    with warnings.catch_warnings(), DataContext.current(context):
        warnings.filterwarnings("ignore", module="ray.data")
        # READ_AHEAD needs them
        warnings.filterwarnings("ignore", message=".*ray_remote_args. is deprecated")
        try:
            log.setLevel(logging.ERROR if options.verbose else logging.CRITICAL)
            yield
        finally:
            log.setLevel(level)


def connect(options: JobOptions) -> None:
    """Connects to the cluster that the options or ``RAY_ADDRESS`` name, or starts a local one for
    this job."""
    address, where = address_of(options)
    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    what = (
        "starting Ray on this machine"
        if address == "local"
        else f"connecting to the Ray cluster at {safe_uri(address)}"
    )
    say_now(what)
    check_listening(address, where)
    start = functools.partial(
        ray.init,
        address=address,
        log_to_driver=options.verbose,
        logging_level=logging.ERROR,
        **local,
    )
    try:
        with without_greeting():
            _start_here(start) if address == "local" else start()
    # Ray replaces the handler of SIGTERM while it starts, and its own ends the process
    except SystemExit:
        interruption.asked()
        raise
    except ray.exceptions.AuthenticationError as error:
        raise ConfigurationError(
            f"{where} {address}: {_TOKEN} {str(error).splitlines()[0]}"
        ) from None
    except Exception as error:
        if address == "local":
            raise ConfigurationError(
                f"Ray did not start on this machine ({_reason(error)}). Its logs are in"
                " /tmp/ray/session_latest/logs. If the machine is busy, try again later; if"
                " another Ray is half up, end it with `ray stop`."
            ) from error
        if not isinstance(error, ConnectionError | RuntimeError | ValueError):
            raise
        hint = f" {_TOKEN}" if address != "auto" else ""
        raise ConfigurationError(
            f"{where} {address}: no Ray cluster answers there ({_reason(error)}).{hint}"
        ) from None
    interruption.take_back()
    interruption.raise_if_interrupted()


def _start_here(start: Callable[[], object]) -> None:
    """Starts Ray on this machine; tries a second time if the first start timed out.

    Ray gives its own processes 30 seconds, which no setting changes. A busy machine may need more.
    The second start is faster because the files are then cached in memory.
    """
    try:
        start()
    except Exception as error:  # Ray raises no narrower exception
        if "timed out during startup" not in str(error):
            raise
        note(
            logger,
            "ray_start_repeated",
            "Ray did not start within 30 s on this machine. Starting it once more.",
        )
        start()


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def carry_code(task: Task) -> None:
    """Sends the code of a task of another module along with it, so that no worker has to import
    that module.

    Modules of installed packages are imported on the workers, as always.
    """
    for part in task.parts or (task,):
        for function in (part.converse, part.parse):
            name = getattr(function, "__module__", None) or ""
            file = getattr(sys.modules.get(name), "__file__", None) or ""
            ours = name.partition(".")[0] in ("internvl_ops", "pipelines", "__main__")
            if file and not ours and "site-packages" not in file:
                ray.cloudpickle.register_pickle_by_value(sys.modules[name])


def nodes() -> list[dict[str, float]]:
    """The resources of each live node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class NodeWatch:
    """Logs an event when the cluster loses or gains a node."""

    def __init__(self) -> None:
        self._there = self._alive()

    def look(self) -> None:
        now = self._alive()
        for node in self._there.keys() - now.keys():
            message = f"Node {self._there[node]} is lost; Ray repeats its blocks on the others."
            note(logger, "node_lost", message, node=self._there[node])
        for node in now.keys() - self._there.keys():
            note(logger, "node_joined", f"Node {now[node]} has joined the cluster.", node=now[node])
        self._there = now

    @staticmethod
    def _alive() -> dict[str, str]:
        return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def plan_workers(
    options: JobOptions,
    checkpoint: Model | None,
    rows: Rows,
    nodes: Sequence[dict[str, float]],
) -> Workers:
    """Settles the number of actors.

    Args:
        options: Options of the job.
        checkpoint: Gives the size of a tile.
        rows: What is known of the rows of the run.
        nodes: Resources of each node, ``CPU`` and ``GPU``. All GPUs of one engine are on one node.

    Raises:
        ConfigurationError: The cluster is too small and does not grow; the message says what is
            missing. Without this check Ray would wait silently.
    """
    cpus = int(sum(node.get("CPU", 0) for node in nodes))
    gpus = [int(node["GPU"]) for node in nodes if node.get("GPU")]
    if options.engine == "openai":
        gpus = []  # the server has its own GPUs
    per_engine = (
        options.gpus_per_engine if options.gpus_per_engine is not None else min(1, sum(gpus))
    )
    places = sum(node // per_engine for node in gpus) if per_engine else 1
    engines = options.engines or max(1, places)
    if per_engine and engines > places and not options.autoscaling:
        enough = engines * per_engine <= sum(gpus)
        spread = (
            f", on nodes of {', '.join(map(str, gpus))}, where {places} find room" if enough else ""
        )
        raise ConfigurationError(
            f"{engines} engines of --gpus-per-engine {per_engine} need {engines * per_engine} GPUs,"
            f" the cluster has {sum(gpus)}{spread}. Add GPUs, lower --engines or --gpus-per-engine"
            " (0 runs on CPUs), or say --autoscaling where the cluster adds nodes by itself."
        )
    prepare_actors = options.prepare_actors or max(1, cpus - engines)
    if engines + prepare_actors > cpus and not options.autoscaling:
        raise ConfigurationError(
            f"{engines} engines and {prepare_actors} prepare actors need {engines + prepare_actors}"
            f" CPUs, the cluster has {cpus}. Add CPUs (ray start --num-cpus N), or lower --engines"
            " or --prepare-actors."
        )
    default_in_flight = GPU_IN_FLIGHT if per_engine else CPU_IN_FLIGHT
    if options.engine == "openai":
        # A server takes many texts in one request of vectors.
        default_in_flight = GPU_IN_FLIGHT if isinstance(checkpoint, Encoder) else IN_FLIGHT
    in_flight = options.in_flight or default_in_flight
    return Workers(
        engines=engines,
        gpus_per_engine=per_engine,
        prepare_actors=prepare_actors,
        in_flight=in_flight,
        blocks=plan_blocks(options, checkpoint, rows, engines, in_flight),
    )


def run_setup(
    workers: Workers, checkpoint: Model | None, task: Task, cluster: dict[str, float]
) -> RunSetup:
    """Describes what the run runs on, for `pipelines.report.measures`.

    Args:
        workers: The settled numbers of actors.
        checkpoint: Checkpoint of the model; None if only a server has it.
        task: Task of the job. Several tasks in one pass share the cached prompt, so their
            operations are not known.
        cluster: Total resources, as ``ray.cluster_resources()`` returns them; they include the
            kinds of the GPUs.
    """
    kinds = [name.removeprefix(GPU_KIND) for name in cluster if name.startswith(GPU_KIND)]
    gpu, why = (
        None,
        (
            "no GPU"
            if not workers.gpus_per_engine
            else f"GPUs of {len(kinds)} kinds: {', '.join(kinds)}"
        ),
    )
    if workers.gpus_per_engine and len(kinds) == 1:
        try:
            gpu = find_gpu(kinds[0])
        except ConfigurationError:
            why = f"what a {kinds[0]} can do is not known"
    return RunSetup(
        cost=(
            None
            if checkpoint is None or isinstance(checkpoint, Encoder) or task.parts
            else Cost.of(checkpoint)
        ),
        gpu=gpu,
        no_gpu=why,
        engines=workers.engines,
        gpus=workers.engines * workers.gpus_per_engine,
        in_flight=workers.in_flight,
        tokens=task.outcome.tokens,
    )


def pool(size: int, calls: int, at_hand: int = 2) -> ActorPoolStrategy:
    """``size`` actors; each runs ``calls`` blocks at once in threads and has ``at_hand`` more
    waiting.

    Ray Data looks for finished blocks about five to ten times a second. Between two looks an actor
    finishes at most the blocks that it was given at the first one.
    """
    return ActorPoolStrategy(
        size=size,
        max_concurrent_calls_per_actor=calls,
        max_tasks_in_flight_per_actor=calls + at_hand,
        enable_true_multi_threading=calls > 1,
    )
