"""The command in a process of its own: one address, no page without it, and an end without anything
left."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.view import ViewOptions, run
from testing import viewed


def started(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "internvl_batch", "view", *arguments, "--no-browser"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "TMPDIR": str(folder)})  # fmt: skip


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_served_until_a_signal(tmp_path: Path, ending: signal.Signals) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = started(str(viewed.captions(tmp_path, count=1)), folder=temporary)
    address = process.stdout.readline().strip()
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]{20,})", address)
    assert found, process.communicate()
    assert status(address.partition("?")[0]) == 403
    assert status(address.replace(found[2], "wrong")) == 403
    with socket.create_connection(("127.0.0.1", int(found[1]))):
        pass
    process.send_signal(ending)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert err.splitlines()[-1] == "Stopped."
    assert found[2] not in err
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=f"--port {port}: .*leave it out for a free one"
        ):
            run(
                ViewOptions(
                    outputs=(str(viewed.captions(tmp_path, count=1)),), port=port, browser=False
                )
            )


def test_a_folder_that_is_no_output_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no results"):
        run(ViewOptions(outputs=(str(tmp_path),), browser=False))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_reviewer_has_a_printable_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="--reviewer"):
        run(ViewOptions(outputs=(str(tmp_path),), reviewer=name, browser=False))
