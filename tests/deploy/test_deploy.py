"""What deploys the jobs: images, manifests for Kubernetes, an array of Slurm jobs, a demo by docker
compose.

No container engine runs here. docs/deploy.md says what else was checked, and what was not.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.commands.registry import COMMANDS
from pipelines.options.command_line import parse_options
from testing.cluster import wait_for

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("docker/*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Fields of KubeRay's RayJobSpec and of what is in it, by ray-operator/apis/ray/v1.
JOB = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
       "submissionMode", "rayClusterSpec", "activeDeadlineSeconds", "runtimeEnvYAML",
       "submitterPodTemplate"}  # fmt: skip
CLUSTER = {
    "rayVersion",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
GROUP = {
    "groupName",
    "replicas",
    "minReplicas",
    "maxReplicas",
    "numOfHosts",
    "rayStartParams",
    "template",
}


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / "kubernetes" / name).read_text())


def check_command(line: str) -> None:
    """Reads a command line as `internvl-batch` does; fails if an option or a value is wrong."""
    program, name, *arguments = shlex.split(line)
    assert program == "internvl-batch"
    parse_options(COMMANDS[name].options_class(), "", arguments)


class TestImages:
    @pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
    def test_the_linter_has_nothing_to_say(self, dockerfile: Path) -> None:
        said = subprocess.run(
            [Path(sys.executable).parent / "hadolint", dockerfile], capture_output=True, text=True
        )
        assert (said.returncode, said.stdout) == (0, "")

    @pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
    def test_what_is_copied_is_here_and_sent_to_the_builder(self, dockerfile: Path) -> None:
        sent = {
            line[1:]
            for line in (ROOT / ".dockerignore").read_text().splitlines()
            if line.startswith("!")
        }
        for words in re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE):
            *sources, _ = [word for word in words.split() if not word.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists()
                assert any(Path(source).match(pattern) for pattern in sent), (
                    f"{source} is not in .dockerignore"
                )

    @pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
    def test_it_has_all_packages_of_the_wheel_and_the_pinned_torch(self, dockerfile: Path) -> None:
        text = dockerfile.read_text()
        assert {"internvl_batch", "internvl_ops", "pipelines"} <= set(
            re.findall(r"^COPY (\w+) /build", text, re.MULTILINE)
        )
        (pin,) = [one for one in PROJECT["dependencies"] if one.startswith("torch")]
        assert all(f"torch=={version}" == pin for version in re.findall(r"torch==(\S+)", text))

    @pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
    def test_it_runs_as_nobody_special(self, dockerfile: Path) -> None:
        assert re.findall(r"^USER (.+)$", dockerfile.read_text(), re.MULTILINE)[-1:] == ["1000"]


class TestKubernetes:
    def test_the_nightly_job_is_the_single_one(self) -> None:
        nightly = manifest("nightly.yaml")
        assert set(nightly["spec"]) == {"schedule", "jobTemplate"}
        assert nightly["spec"]["jobTemplate"] == manifest("rayjob.yaml")["spec"]

    def test_fields_are_those_of_kuberay(self) -> None:
        spec = manifest("rayjob.yaml")["spec"]
        cluster = spec["rayClusterSpec"]
        assert set(spec) <= JOB
        assert set(cluster) <= CLUSTER
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert set(group) <= GROUP
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())

    def test_the_command_is_right_and_fits_the_cluster(self) -> None:
        spec = manifest("rayjob.yaml")["spec"]
        check_command(spec["entrypoint"])
        asked = dict(
            re.findall(r"--(engines|gpus-per-engine|prepare-actors) (\d+)", spec["entrypoint"])
        )
        (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
        has = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
        most = workers["maxReplicas"]
        assert int(asked["engines"]) * int(asked["gpus-per-engine"]) <= most * int(
            has["nvidia.com/gpu"]
        )
        assert int(asked["prepare-actors"]) <= most * int(has["cpu"])
        assert (
            f"ray[data,default]=={spec['rayClusterSpec']['rayVersion']}" in PROJECT["dependencies"]
        )

    def test_nothing_has_privileges_and_the_object_store_fits_its_memory(self) -> None:
        cluster = manifest("rayjob.yaml")["spec"]["rayClusterSpec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            (container,) = pod["containers"]
            assert container["securityContext"]["runAsNonRoot"]
            (shm,) = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
            assert (
                int(group["rayStartParams"]["object-store-memory"])
                < int(shm["emptyDir"]["sizeLimit"][:-2]) << 30
            )


class TestCompose:
    def test_what_is_mounted_is_here_and_what_is_depended_on_exists(self) -> None:
        compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
        services = compose["services"]
        for service in services.values():
            assert set(service.get("depends_on", ())) <= set(services)
            for mount in service.get("volumes", ()):
                source = mount.split(":")[0]
                assert (
                    (DEPLOY / "compose" / source).exists()
                    if source.startswith(".")
                    else source in compose["volumes"]
                )
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
            assert re.search(r":[\w.-]+$", service["image"])

    def test_the_demo_runs_a_right_command(self) -> None:
        compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
        line = compose["services"]["demo"]["command"][-1].split(" -- ")[1]
        check_command(line)
        for path in re.findall(r"/opt/demo/\S+", line):
            copied = (
                "examples/nano/checkpoint"
                if path.endswith("checkpoint")
                else path.replace("/opt/demo", "examples/demo")
            )
            assert (ROOT / copied).exists()

    def test_prometheus_asks_where_ray_answers(self) -> None:
        compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
        asked = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text())
        (target,) = asked["scrape_configs"][0]["static_configs"][0]["targets"]
        service, port = target.split(":")
        assert f"--metrics-export-port={port}" in compose["services"][service]["command"]


class TestSlurm:
    """The script as Slurm's shell runs it, under stubs of the commands that a cluster has."""

    SCRIPT = DEPLOY / "slurm" / "shards.sbatch"

    @pytest.fixture
    def bin(self, tmp_path: Path) -> Path:
        """Stubs that write down what they were called with."""
        folder = tmp_path / "bin"
        folder.mkdir()
        stubs = {
            "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
            "scontrol": f'echo "$@" >> {tmp_path}/scontrol',
            "internvl-batch": (
                f'echo "$@" >> {tmp_path}/runs\n'
                f'[ "${{STUB:-}}" = waits ] || exit "${{STUB:-0}}"\n'
                f"trap 'echo stopped >> {tmp_path}/runs; exit 1' TERM\necho ready >"
                f" {tmp_path}/ready\n"
                "while true; do read -t 0.1 < <(:) || true; done"
            ),
        }
        for name, text in stubs.items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)
        return folder

    def start(
        self, bin: Path, task: int, count: int, *arguments: str, **more: str
    ) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PATH": f"{bin}:{os.environ['PATH']}",
            "SLURM_JOB_ID": f"test{os.getpid()}{task}",
            "SLURM_ARRAY_JOB_ID": "77",
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": str(count),
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_MAX": str(count),
            **more,
        }
        command = ["bash", str(self.SCRIPT), *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def test_every_part_is_run_once_with_all_arguments(self, bin: Path, tmp_path: Path) -> None:
        for task in (1, 2, 3):
            job = self.start(bin, task, 3, "caption", "--config", "a job.yaml")
            assert job.wait(60) == 0, job.stdout
            assert not Path(f"/tmp/ray-test{os.getpid()}{task}").exists()
        runs = (tmp_path / "runs").read_text().splitlines()
        assert runs == [f"caption --config a job.yaml --shard {task}/3" for task in (1, 2, 3)]

    def test_the_status_of_the_run_is_that_of_the_job(self, bin: Path, tmp_path: Path) -> None:
        assert self.start(bin, 1, 1, "caption", STUB="3").wait(60) == 3
        assert not (tmp_path / "scontrol").exists()

    def test_before_the_time_is_up_the_run_is_told_and_the_job_is_queued_again(
        self, bin: Path, tmp_path: Path
    ) -> None:
        job = self.start(bin, 2, 3, "caption", STUB="waits")
        wait_for("the run", (tmp_path / "ready").exists, 60)
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 1
        assert (tmp_path / "runs").read_text().splitlines()[-1] == "stopped"
        assert (tmp_path / "scontrol").read_text() == "requeue 77_2\n"

    @pytest.mark.parametrize(
        ("arguments", "more", "said"),
        [
            ((), {}, "usage: sbatch"),
            (
                ("caption",),
                {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "2"},
                "numbered from 1",
            ),
            (("caption",), {"SLURM_ARRAY_TASK_MAX": "5"}, "numbered from 1"),
        ],
    )
    def test_what_cannot_be_right_is_refused(
        self, bin: Path, tmp_path: Path, arguments: tuple[str, ...], more: dict[str, str], said: str
    ) -> None:
        job = self.start(bin, 1, 3, *arguments, **more)
        assert said in job.communicate(timeout=60)[0]
        assert job.returncode == 2
        assert not (tmp_path / "runs").exists()

    def test_slurm_reads_its_settings_before_the_first_command(self) -> None:
        """sbatch stops looking for them at the first line that is a command."""
        lines = self.SCRIPT.read_text().splitlines()
        first = next(
            number for number, line in enumerate(lines) if line and not line.startswith("#")
        )
        assert not any(line.startswith("#SBATCH") for line in lines[first:])

    @pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
    def test_shellcheck_has_nothing_to_say(self) -> None:
        assert (
            subprocess.run(["shellcheck", self.SCRIPT], capture_output=True, text=True).stdout == ""
        )
