"""A job on a cluster of several nodes to which everything happens that can: in the end no row is
lost or there twice.

The same job runs twice from S3 to S3, on the real engine with a tiny checkpoint: undisturbed, and
while faults are fired at random times, until every fault has been and the job has ended by itself.
Then the outputs are compared row for row. Reads the usual ``AWS_*`` variables where
``TEST_S3=real``, else starts moto's server.

    python -m tests.chaos --rows 2000 --faults 20 --minutes 25

With ``--shards 4`` the disturbed job runs in parts; see `tests.chaos_parts`.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq

from testing import engine_faults
from testing.cluster import ROOT, filesystem
from testing.datasets import write_dataset
from testing.faulty_proxy import FaultyProxy
from testing.object_store import object_store

MARK = "INTERNVL_CHAOS"  # in the environment of every process that is ours to kill
FILES = 120
FETCHED_AT_ONCE = 4  # images, with the options below
POISONOUS_ROWS = 2
HUNG_S = 15  # --engine-timeout
GRACE_S = 30.0  # after SIGTERM


class Cluster:
    """A head that runs drivers, and two nodes that work and may be lost.

    Args:
        cpus: Of each of the two.
    """

    def __init__(self, cpus: int = 2) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        # Nodes are added from another thread, where no hook for the end of the process can be set.
        self._cluster = RayCluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
            shutdown_at_exit=False,
        )
        self._cpus = cpus
        self.nodes = [self._cluster.add_node(num_cpus=cpus) for _ in range(2)]
        self.address = self._cluster.address
        self._replacing: threading.Thread | None = None

    def lose_node(self, rng: random.Random) -> bool:
        """Kills a node with all its processes; another one takes its place, as an autoscaler does
        it."""
        if self._replacing is not None and self._replacing.is_alive():
            return False  # the one that is left has to do the work meanwhile
        lost = self.nodes.pop(rng.randrange(len(self.nodes)))
        self._replacing = threading.Thread(target=self._replace, args=(lost,), daemon=True)
        self._replacing.start()
        return True

    def _replace(self, lost: Any) -> None:
        self._cluster.remove_node(lost, allow_graceful=False)
        self.nodes.append(self._cluster.add_node(num_cpus=self._cpus))

    def stop(self) -> None:
        if self._replacing is not None:
            self._replacing.join()
        self._cluster.shutdown()


class Job:
    """The command, run again as often as it takes."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self.process: subprocess.Popen | None = None
        self.runs = 0
        self.slowest_end = 0.0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.runs += 1
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)

    def send(self, number: int) -> None:
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(GRACE_S * 4)
        if number == signal.SIGTERM:
            self.slowest_end = max(self.slowest_end, time.monotonic() - began)

    def work_off(self, deadline: float) -> None:
        """Runs to the end, again after every end that is not one."""
        self.start()
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done in time; the job's words are in {self._log}")
            time.sleep(0.2)
            if self.running:
                continue
            assert self.process is not None
            if self.process.returncode == 0:
                return
            if self.process.returncode in (2, 3):
                raise RuntimeError(
                    f"exit status {self.process.returncode}; the job's words are in {self._log}"
                )
            self.start()


class Chaos:
    """Fires faults, one after the other, at random times, and slows the job down so that it meets
    them all.

    Args:
        job: Disturbed.
        cluster: It runs on.
        proxy: Between the job and its store.
        done: Rows in ``results/`` by now.
        rows: In all.
        faults: To fire.
        minutes: In which the rows are fetched where nothing but their pace holds them up; a third
            of that pace where the job is ahead of the faults.
        scratch: For the flag that says to an engine that its memory is full.
        rng: When and which.

    Attributes:
        fired: How often each was.
    """

    def __init__(
        self,
        job: Job,
        cluster: Cluster,
        proxy: FaultyProxy,
        done: Callable[[], int],
        *,
        rows: int,
        faults: int,
        minutes: float,
        scratch: Path,
        rng: random.Random,
    ) -> None:
        self._job, self._cluster, self._proxy, self._done, self._rng = (
            job,
            cluster,
            proxy,
            done,
            rng,
        )
        self._rows, self._faults, self._no_memory = rows, faults, scratch / "no-memory"
        self._late_s = FETCHED_AT_ONCE * minutes * 60 / rows
        self._patience = 0.0
        self.fired: Counter[str] = Counter()
        self.kinds: dict[str, Callable[[], bool]] = {
            "engine process: SIGKILL": lambda: _signal("VLLM::Engine", signal.SIGKILL),
            "engine process: hangs": lambda: _signal("VLLM::Engine", signal.SIGSTOP),
            "engine process: out of memory": self._fill_memory,
            "GPU actor: SIGKILL": lambda: _signal("Generate", signal.SIGKILL),
            "CPU actor: SIGKILL": lambda: _signal("Prepare", signal.SIGKILL),
            "worker node: lost": self._lose_node,
            "driver: SIGKILL": lambda: self._end(signal.SIGKILL),
            "driver: SIGTERM": lambda: self._end(signal.SIGTERM),
            "store: 20 % of requests fail": self._flaky,
            "store: down": self._down,
            "store: full": self._full,
        }
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            names: list[str] = []
            while sum(self.fired.values()) < self._faults:
                if not names:
                    names = self._rng.sample(list(self.kinds), len(self.kinds))
                self._let_pass(self._rng.uniform(1, 6))
                before = self._done()
                name = names.pop()
                self._patience = 60
                if self._job.running and self.kinds[name]():
                    self.fired[name] += 1
                    print(f"{time.strftime('%X')} {before:5} rows  {name}", flush=True)
                    self._let_pass(self._patience, lambda before=before: self._done() > before)
                else:
                    names.insert(0, name)
        except BaseException as failure:
            self.failure = failure
        finally:
            self._proxy.rate, self._proxy.down, self._proxy.full, self._proxy.slow = (
                0.0,
                False,
                False,
                None,
            )

    def _let_pass(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Until the time is up, or the job went on: what is already down cannot be hit again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not enough():
            ahead = self._done() / self._rows > (1 + sum(self.fired.values())) / (1 + self._faults)
            self._proxy.slow = ("/images/", self._late_s * (3 if ahead else 1))
            time.sleep(0.5)

    def _lose_node(self) -> bool:
        return self._cluster.lose_node(self._rng)

    def _end(self, number: int) -> bool:
        if self._done() == 0:
            return False
        self._job.send(number)
        return True

    def _fill_memory(self) -> bool:
        self._no_memory.touch()
        return True

    def _for_a_while(self, attribute: str, value: Any, seconds: float) -> bool:
        before = getattr(self._proxy, attribute)
        setattr(self._proxy, attribute, value)
        threading.Timer(seconds, lambda: setattr(self._proxy, attribute, before)).start()
        self._patience += seconds
        return True

    def _flaky(self) -> bool:
        return self._for_a_while("rate", 0.2, 20)

    def _down(self) -> bool:
        """Two minutes the first time."""
        return self._for_a_while(
            "down", True, self._rng.uniform(5, 30) if self.fired["store: down"] else 120
        )

    def _full(self) -> bool:
        return self._for_a_while("full", True, self._rng.uniform(5, 20))


def _signal(name: str, number: int) -> bool:
    """Sends a signal to one process of this cluster whose title has ``name`` in it."""
    for process in psutil.process_iter():
        try:
            title = " ".join(process.cmdline())
            if (
                name in title
                and "python -" not in title
                and process.environ().get(MARK) == os.environ[MARK]
            ):
                process.send_signal(number)
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


def make_input(
    fs: Any, bucket: str, rows: int, folder: Path, rng: random.Random, poisonous_rows: int
) -> None:
    write_dataset(folder, good=FILES, large=0)
    fs.put(f"{folder}/images/", f"{bucket}/images/", recursive=True)
    names = sorted(path.name for path in (folder / "images").iterdir())
    poisonous = set(rng.sample(range(rows), poisonous_rows))
    lines = [
        json.dumps(
            {
                "id": f"{n:05d}",
                "image": f"images/{names[n % len(names)]}",
                "n": n,
                "sampling_params": {"seed": engine_faults.POISONOUS if n in poisonous else 0},
            }
        )
        for n in range(rows)
    ]
    with fs.open(f"{bucket}/manifest.jsonl", "wb") as file:
        file.write("\n".join(lines).encode())


ENGINE_ARGS = {
    "dtype": "float32",
    "max_num_seqs": 4,
    "logits_processors": ["testing.engine_faults:EngineFaults"],
}


def in_process(model: Path) -> list[str]:
    """Options for a real engine with faults inside."""
    return [
        "--model",
        str(model),
        "--engine-args",
        json.dumps(ENGINE_ARGS),
        "--engine-timeout",
        str(HUNG_S),
    ]


def command(bucket: str, name: str, address: str, *more: str) -> list[str]:
    return [
        *(sys.executable, "jobs/caption_dataset.py", "--input", f"s3://{bucket}/manifest.jsonl"),
        *("--output", f"s3://{bucket}/{name}", "--ray-address", address),
        *("--max-new-tokens", "24", "--max-tiles", "2", "--max-bytes", "3000000", "--retries", "0"),
        *("--engines", "1", "--prepare-actors", "1", "--in-flight", "8", "--rows-per-block", "2"),
        *("--rows-per-file", "40", "--commit-seconds", "2", *more),
    ]


def table(fs: Any, path: str, columns: list[str]) -> pd.DataFrame:
    names = sorted(fs.glob(f"{path}/*.parquet"))
    files = [pq.read_table(fs.open(name)).to_pandas()[columns] for name in names]
    found = pd.concat([pd.DataFrame(columns=columns), *files], ignore_index=True).astype(object)
    return found.where(found.notna(), "null")  # a null equals no other


class RowsDone:
    """Counts the rows in a folder of Parquet files that only ever grows; each file is looked into
    once."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs, self._path = fs, path
        self._of: dict[str, int] = {}

    def __call__(self) -> int:
        for name in self._fs.glob(f"{self._path}/*.parquet"):
            if name not in self._of:
                with self._fs.open(name) as file:
                    self._of[name] = pq.read_metadata(file).num_rows
        return sum(self._of.values())


def differences(fs: Any, bucket: str) -> list[str]:
    """What the disturbed output has otherwise than the undisturbed one."""
    found = []
    for folder, columns in (
        (
            "results",
            ["id", "n", "response", "caption", "width", "height", "num_tiles", "prompt_tokens"],
        ),
        ("errors", ["id", "kind", "stage", "message"]),
    ):
        calm, stormy = (
            table(fs, f"{bucket}/{name}/{folder}", columns).sort_values(columns[:1]).astype(str)
            for name in ("a", "b")
        )
        twice = stormy.id[stormy.id.duplicated()].tolist()
        missing, extra = (
            sorted(set(calm.id) - set(stormy.id)),
            sorted(set(stormy.id) - set(calm.id)),
        )
        both = calm.merge(stormy, on="id", suffixes=("", "_now"))
        other = [
            row["id"]
            for _, row in both.iterrows()
            if any(row[c] != row[f"{c}_now"] for c in columns[1:])
        ]
        for what, ids in {
            "twice": twice,
            "missing": missing,
            "too many": extra,
            "different": other,
        }.items():
            if ids:
                found.append(f"{folder}: {len(ids)} {what}: {', '.join(ids[:5])}")
        print(f"{folder}: {len(calm):,} rows undisturbed, {len(stormy):,} after the faults")
    return found


@contextmanager
def store() -> Iterator[dict[str, str]]:
    real = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with (
        nullcontext(real)
        if os.environ.get("TEST_S3") == "real"
        else object_store(own_process=True) as environment
    ):
        yield environment


def run(rows: int, faults: int, minutes: float, seed: int, shards: int = 1) -> list[str]:
    """The whole of it.

    Returns:
        What is wrong with the output.
    """
    from testing.tiny import make_tiny_checkpoint
    from tests.chaos_parts import PartsChaos, in_parts, server

    rng, deadline = random.Random(seed), time.monotonic() + 60 * minutes
    print(f"seed {seed}: {rows:,} rows, {faults} faults, at most {minutes:g} minutes", flush=True)
    with ExitStack() as stack:
        environment = stack.enter_context(store())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos"))
        proxy = stack.enter_context(FaultyProxy(environment["AWS_ENDPOINT_URL"], seed=seed))
        os.environ.update(environment | {"AWS_ENDPOINT_URL": proxy.url, MARK: uuid.uuid4().hex})
        os.environ.update({"PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"})
        fired_inside = Path(scratch) / "fired"
        fired_inside.touch()
        os.environ[engine_faults.FIRED] = str(fired_inside)
        os.environ[engine_faults.NO_MEMORY] = str(Path(scratch) / "no-memory")
        fs, bucket = filesystem(environment), f"chaos-{uuid.uuid4().hex[:8]}"
        fs.call_s3("create_bucket", Bucket=bucket)
        model = make_tiny_checkpoint(Path(scratch) / "tiny")
        make_input(
            fs, bucket, rows, Path(scratch) / "dataset", rng, POISONOUS_ROWS if shards == 1 else 0
        )
        # A part needs a CPU for its engine and one to prepare; a part that is taken over needs them
        # twice.
        cluster = Cluster(2 if shards == 1 else shards + 1)
        log = Path(tempfile.gettempdir()) / f"chaos-{seed}.log"
        engine = in_process(model) if shards == 1 else stack.enter_context(server())
        try:
            calm = Job(command(bucket, "a", cluster.address, *engine), log)
            calm.work_off(deadline)
            whole = command(bucket, "b", cluster.address, "--retry-errors", *engine)
            stormy = Job(whole if shards == 1 else in_parts(whole, shards), log)
            fired_inside.write_text("")
            kind = (
                Chaos
                if shards == 1
                else functools.partial(PartsChaos, command=whole, shards=shards, log=log)
            )
            chaos = kind(
                stormy,
                cluster,
                proxy,
                RowsDone(fs, f"{bucket}/b/results"),
                rows=rows,
                faults=faults,
                minutes=minutes / 2,
                scratch=Path(scratch),
                rng=rng,
            )
            threading.Thread(target=chaos.run, daemon=True).start()
            stormy.work_off(deadline)
            if chaos.failure is not None:
                raise chaos.failure
            stormy.work_off(deadline)  # takes up what was an error only because of the faults
            found = differences(fs, bucket)
            fired = sum(chaos.fired.values())
            if fired < faults:
                found.append(
                    f"the job was done after {fired} of {faults} faults: give it more --rows or"
                    " --minutes"
                )
            inside = Counter(fired_inside.read_text().splitlines())
        finally:
            for job in (calm, stormy) if "stormy" in locals() else (calm,):
                if job.running and job.process is not None:
                    job.process.kill()
            cluster.stop()
            fs.rm(bucket, recursive=True)
        print(f"{'fault':32} fired")
        for name, number in sorted(chaos.fired.items()):
            print(f"{name:32} {number}")
        print(f"inside the engine: {dict(inside)}")
        print(f"requests to the store that went wrong: {dict(proxy.fired)}")
        print(
            f"the job was started {stormy.runs} times; after SIGTERM it ended in"
            f" {stormy.slowest_end:.0f} s at most"
        )
        if stormy.slowest_end > GRACE_S:
            found.append(
                f"{stormy.slowest_end:.0f} s to end after SIGTERM; {GRACE_S:.0f} s are allowed"
            )
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument(
        "--shards", type=int, default=1, help="Parts of the disturbed job. Default: 1, no parts."
    )
    arguments = parser.parse_args()
    found = run(
        arguments.rows, arguments.faults, arguments.minutes, arguments.seed, arguments.shards
    )
    print("\n".join(found) or "identical: every row once, none lost")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
