"""What many tests share: the tiny checkpoint, and one running engine with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.media.sandbox_keeper import kept_between_sandboxes
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from testing.hub import Hub
from testing.hub import hub as running_hub
from testing.running_engine import RunningEngine
from testing.serving import served
from testing.stores import KEPT, Emulators, NoEmulator

# Two of these processes share two cores, and each may run an engine: a tiny model needs one thread,
# and threads that are bound to cores wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")

# No test states a time. With `CI` set, Hypothesis draws the same cases each time: new faults are
# then found at a desk, and do not fail the submission that happens to be tested.
settings.register_profile(
    "untimed", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None
)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def decoders_import_once() -> Iterator[None]:
    """What opens media in this process shares the imports of its sandboxes, two seconds of torch
    each."""
    with kept_between_sandboxes():
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny InternVL with random weights. Shared: copy it before you change it."""
    from testing.tiny import make_tiny_checkpoint  # loads torch, which most tests can do without

    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny-internvl")


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(str(tiny_checkpoint))


@pytest.fixture(scope="module")
def ray_session() -> str:
    """A Ray session of this process with two CPUs, for all jobs and Datasets that run in it; gives
    the id of its node. Started once a process; `no_ray_session` ends it."""
    import ray

    if not ray.is_initialized():
        handler = signal.getsignal(signal.SIGTERM)  # Ray sets its own
        os.environ.setdefault("RAY_worker_niceness", "0")  # as in a job's own session
        # "local": another cluster of this machine, such as one of a test beside this, is not ours
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        signal.signal(signal.SIGTERM, handler)
    return ray.get_runtime_context().get_node_id()


@pytest.fixture
def no_ray_session() -> None:
    """No Ray session in this process, for what starts one or must not."""
    import ray

    ray.shutdown()


@pytest.fixture(scope="session")
def vllm_engine(checkpoint: Checkpoint) -> Iterator[RunningEngine]:
    """The tiny checkpoint in vLLM, in float32 so that its answers can be compared closely. Started
    once a session."""
    running = RunningEngine(
        VllmEngine(checkpoint, constrained=True, engine_args={"dtype": "float32"})
    )
    yield running
    running.close()


@pytest.fixture(scope="session")
def tiny_server(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of the tiny checkpoint, in float32. Started once a session, 25 seconds on
    two cores."""
    with served(tiny_checkpoint, tmp_path_factory.mktemp("server") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def emulators() -> Iterator[Emulators]:
    """Stores over HTTP on this machine, each started when first needed."""
    running = Emulators()
    yield running
    running.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hugging Face Hub on this machine, which the stores find."""
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def empty_place(scheme: str, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty folder in a store, which is found through the environment until the end
    of the test."""
    try:
        environment = emulators.environment(scheme)
    except NoEmulator as error:
        pytest.skip(str(error))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return emulators.place(scheme)


@pytest.fixture
def gs_place(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty folder in Google Cloud Storage, for what one store can show of all."""
    return empty_place("gs", emulators, monkeypatch)


@pytest.fixture(params=KEPT)
def remote_place(
    request: pytest.FixtureRequest, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty folder in each of the remote stores in which outputs may lie."""
    return empty_place(request.param, emulators, monkeypatch)


@pytest.fixture(params=["file", *KEPT])
def place(
    request: pytest.FixtureRequest,
    emulators: Emulators,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> str:
    """The URI of an empty folder, in each of the stores in which outputs may lie."""
    if request.param == "file":
        return str(tmp_path / "out")
    return empty_place(request.param, emulators, monkeypatch)
