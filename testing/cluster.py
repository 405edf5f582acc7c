"""A real Ray cluster and a real S3 endpoint over HTTP, for the tests of whole jobs."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import s3fs

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what: str, condition, seconds: float = 600) -> None:
    """Waits until ``condition()`` is true; fails naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)


def filesystem(environment: dict[str, str]) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        key=environment["AWS_ACCESS_KEY_ID"],
        secret=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        client_kwargs={"region_name": environment["AWS_DEFAULT_REGION"]},
        skip_instance_cache=True,
        use_listings_cache=False,
    )


def _growing(resources: dict[str, int], gcs: str) -> dict:
    """Configuration of an autoscaler whose nodes are processes of this machine."""
    lists = (
        "initialization",
        "setup",
        "head_setup",
        "worker_setup",
        "head_start_ray",
        "worker_start_ray",
    )
    return {
        "cluster_name": "fake_multinode",
        "provider": {"type": "fake_multinode", "gcs_address": gcs},
        "max_workers": 1,
        "available_node_types": {
            "head": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": resources,
                "node_config": {},
                "min_workers": 0,
                "max_workers": 1,
            },
        },
        "head_node_type": "head",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.1,
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: {} for name in ("auth", "docker")},
        **{f"{name}_commands": [] for name in lists},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    }


class RayHead:
    """``ray start --head`` in a folder of its own, and ``ray job submit`` to it.

    Args:
        environment: Besides this process's.
        cpus: Of the head.
        grows_by: Resources of a node that Ray's autoscaler starts on this machine when it is asked
            for, and ends when it has been idle for some seconds; without it the head is all there
            is.
    """

    def __init__(
        self, environment: dict[str, str], cpus: int = 2, grows_by: dict[str, int] | None = None
    ) -> None:
        # Ray's sockets lie in its folder, and a socket's path may have 107 bytes: pytest's own
        # folders are too long.
        self._folder = Path(tempfile.mkdtemp(prefix="ray"))
        self._environment = (
            os.environ | environment | {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
        )
        self._environment["PATH"] = f"{BIN}:{os.environ['PATH']}"  # as in an activated environment
        self._environment.pop("RAY_ADDRESS", None)
        if grows_by is not None:
            self._environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        for _ in range(3):
            self._start(cpus, grows_by)
            wait_for("the Ray head", lambda: self._ended() or self._ready(cpus))
            if not self._ended():
                return
        raise RuntimeError(f"`ray start --head` ended with {self._process.poll()} three times")

    def _start(self, cpus: int, grows_by: dict[str, int] | None) -> None:
        """Starts a head on ports of its own. Ray ends one that has no node within 30 seconds, on a
        busy machine."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        self._gcs, self.dashboard, self._metrics = free_port(), free_port(), free_port()
        self._address = {"RAY_ADDRESS": f"http://127.0.0.1:{self.dashboard}"}
        more = []
        if grows_by is not None:
            config = folder / "autoscaling.json"
            config.write_text(json.dumps(_growing(grows_by, f"127.0.0.1:{self._gcs}")))
            more = [f"--autoscaling-config={config}"]
        self._process = subprocess.Popen(
            [
                *(
                    BIN / "ray",
                    "start",
                    "--head",
                    "--block",
                    f"--num-cpus={cpus}",
                    "--disable-usage-stats",
                ),
                *(
                    f"--port={self._gcs}",
                    f"--dashboard-port={self.dashboard}",
                    "--dashboard-host=127.0.0.1",
                ),
                # The default is the same for all clusters of a machine, and a head without it
                # starts no job.
                f"--dashboard-agent-listen-port={free_port()}",
                f"--metrics-export-port={self._metrics}",
                *(f"--temp-dir={folder}", "--object-store-memory=1500000000"),
                *more,
            ],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _ended(self) -> bool:
        return self._process.poll() is not None

    def _ready(self, cpus: int) -> bool:
        """Whether jobs can be submitted and the head's own node has joined."""
        return self.ray("job", "list").returncode == 0 and self.resources().get("CPU", 0) >= cpus

    def resources(self) -> dict[str, float]:
        """Of all nodes that are there."""
        said = self.ray("status", f"--address=127.0.0.1:{self._gcs}").stdout.split("Total Usage:")[
            -1
        ]
        return {name: float(total) for total, name in re.findall(r"/([\d.]+) (CPU|GPU)", said)}

    def scrape(self) -> str:
        """What Prometheus gets of the head: its text format."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._metrics}/metrics", timeout=60
        ) as answer:
            return answer.read().decode()

    def ray(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "ray", *arguments],
            env=self._environment | self._address,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def run(self, *job: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """``python jobs/…`` on this cluster. Nodes that come later unpack a submitted folder into
        the same place anew, since they are one machine, and pull it away under those that are
        there."""
        process = self.start(*job)
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *job: str) -> subprocess.Popen[str]:
        """As `run`, without waiting for the end."""
        environment = self._environment | {
            "RAY_ADDRESS": f"127.0.0.1:{self._gcs}",
            "PYTHONPATH": str(ROOT),
        }
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, *job], cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True
        )

    def submit(
        self, *job: str, wait: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """``ray job submit --working-dir . -- python jobs/…``."""
        flags = [] if wait else ["--no-wait"]
        while True:
            done = self.ray(
                "job",
                "submit",
                f"--working-dir={ROOT}",
                *flags,
                "--",
                "python",
                *job,
                timeout=timeout,
            )
            # The job server answers before the agent that starts jobs is there, the later the
            # busier the machine is.
            if "No available agent to submit job" not in done.stdout + done.stderr:
                return done

    def stop(self) -> None:
        os.killpg(self._process.pid, 15)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
