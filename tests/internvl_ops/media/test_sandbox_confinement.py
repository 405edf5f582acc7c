"""What a decoder that a file has taken over can reach: its libraries and the media it was given."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.sandbox_confinement import Confinement, available
from testing import hostile

needs_landlock = pytest.mark.skipif(
    available().landlock < 4, reason="the kernel's Landlock is older than version 4"
)
needs_seccomp = pytest.mark.skipif(
    not available().seccomp, reason="the kernel or architecture has no seccomp"
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "film.mp4").write_bytes(b"frames")
    return folder


@pytest.fixture(scope="module")
def sandbox(given: Path) -> Iterator[Sandbox]:
    with Sandbox(readable=[str(given)]) as sandbox:
        yield sandbox


def refused(sandbox: Sandbox, what: str, *args: Any) -> str:
    """The message of an attempt that fails."""
    with pytest.raises(UnitError) as caught:
        sandbox.call(hostile.attempt, what, *args, timeout_s=20)
    return caught.value.message


class TestFiles:
    pytestmark = needs_landlock

    def test_the_media_it_was_given_can_be_read(self, sandbox: Sandbox, given: Path) -> None:
        assert sandbox.call(hostile.attempt, "read", str(given / "film.mp4")) == "frames"

    def test_a_file_that_came_later_can_be_read(self, sandbox: Sandbox, given: Path) -> None:
        (given / "later.mp4").write_text("later")
        assert sandbox.call(hostile.attempt, "read", str(given / "later.mp4")) == "later"

    def test_nothing_else_can(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("of another")
        assert "PermissionError" in refused(sandbox, "read", str(tmp_path / "secret"))
        assert "PermissionError" in refused(sandbox, "list", str(Path.home()))

    def test_the_jobs_environment_cannot_be_read(self, sandbox: Sandbox) -> None:
        assert "PermissionError" in refused(sandbox, "read", f"/proc/{os.getpid()}/environ")
        assert "PermissionError" in refused(sandbox, "read", f"/proc/{os.getpid()}/mem")

    @pytest.mark.parametrize("what", ["write", "remove", "link", "make_folder"])
    def test_nothing_can_be_changed(self, sandbox: Sandbox, given: Path, what: str) -> None:
        kept = given / "kept"
        kept.write_text("as it was")
        refused(sandbox, what, str(kept))
        assert kept.read_text() == "as it was"
        assert sorted(path.name for path in given.iterdir() if path.name.startswith("kept")) == [
            "kept"
        ]

    def test_addresses_cannot_be_reached(self, sandbox: Sandbox) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            assert "PermissionError" in refused(sandbox, "connect", server.getsockname()[1])


class TestProcesses:
    pytestmark = needs_seccomp

    @pytest.mark.parametrize("what", ["fork", "run", "spawn"])
    def test_no_process_is_left_behind(self, sandbox: Sandbox, what: str) -> None:
        refused(sandbox, what)

    @pytest.mark.parametrize("what", ["signal", "limit", "trace"])
    def test_other_processes_are_out_of_reach(self, sandbox: Sandbox, what: str) -> None:
        refused(sandbox, what, os.getppid())
        refused(sandbox, what, os.getpid())

    @pytest.mark.parametrize("what", ["socket", "namespace", "ring"])
    def test_what_opens_new_ways_is_refused(self, sandbox: Sandbox, what: str) -> None:
        refused(sandbox, what)

    def test_threads_go_on_working(self, sandbox: Sandbox) -> None:
        assert sandbox.call(hostile.attempt, "threads") == [0, 1, 4, 9]

    def test_it_has_no_capabilities_and_gains_none(self, sandbox: Sandbox) -> None:
        status = dict(
            line.split(":\t", 1)
            for line in sandbox.call(hostile.attempt, "status")
            if ":\t" in line
        )
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"


def test_what_a_kernel_does_not_have_is_named() -> None:
    assert Confinement(7, True, True).missing == []
    assert Confinement(0, False, True).missing == ["Landlock", "seccomp"]
