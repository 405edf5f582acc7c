"""The log of a job: plain lines for a person, JSON for machines, each once and without
credentials."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from internvl_ops.errors import keyword
from internvl_ops.events import LOGGERS, note
from pipelines import interruption
from pipelines.options.messages import say_now
from pipelines.report.logs import LINES_OF_EACH, configure
from pipelines.report.progress import ProgressLine
from testing.cluster import ROOT

logger = logging.getLogger("pipelines.somewhere")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {name: logging.getLogger(name).handlers[:] for name in LOGGERS}
    yield
    interruption.form = interruption.plain_line
    for name in LOGGERS:
        one = logging.getLogger(name)
        one.handlers, one.propagate = before[name], True
        one.setLevel(logging.NOTSET)


def test_a_person_reads_the_time_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    configure(as_json=False)
    note(logger, "engine_died", "The engine died: 100 %s", requests=3)
    say_now("starting Ray on this machine")
    died, said = capsys.readouterr().err.splitlines()
    assert died[8:] == " The engine died: 100 %s"
    assert said[8:] == " starting Ray on this machine"
    assert datetime.strptime(died[:8], "%H:%M:%S")


def test_a_line_names_options(capsys: pytest.CaptureFixture[str]) -> None:
    configure(as_json=False)
    note(
        logging.getLogger("internvl_ops.engines"),
        "engine_not_started",
        f"Lower {keyword('max_tiles')}.",
    )
    configure(as_json=True)
    note(
        logging.getLogger("internvl_ops.engines"),
        "engine_not_started",
        f"Lower {keyword('max_tiles')}.",
    )
    plain, as_json = capsys.readouterr().err.splitlines()
    assert [plain[9:], json.loads(as_json)["message"]] == ["Lower --max-tiles."] * 2


def test_every_line_is_one_json_object(capfd: pytest.CaptureFixture[str]) -> None:
    configure(as_json=True)
    note(logger, "engine_died", "The engine died:\nout of memory", requests=3, worker="host-1")
    say_now("starting")
    logging.getLogger("internvl_ops.x").warning("no event")
    with ProgressLine(as_records=True) as progress:
        progress.say("reading")
        progress.total(10)
        progress.update(3, 100, 1)
    interruption.say("Stopping")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "engine_died", "phase", None, "phase", "progress", "interrupted",
    ]  # fmt: skip
    assert {tuple(line) for line in lines} == {
        ("time", "level", "logger", "message", "event", "fields")
    }
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    assert lines[0]["level"] == "warning"
    assert lines[0]["logger"] == "pipelines.somewhere"
    assert lines[0]["fields"] == {"requests": 3, "worker": "host-1"}
    assert lines[4]["fields"] == {"units": 3, "todo": 10, "tokens": 100, "failed": 1}


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_is_written_twice(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    root = logging.getLogger()
    other = logging.StreamHandler()  # such as a library gives to the root
    root.addHandler(other)
    try:
        configure(as_json=as_json)
        configure(as_json=as_json)
        note(logger, "store_away", "away")
    finally:
        root.removeHandler(other)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_no_credential_is_written(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure(as_json=as_json)
    logger.warning("%s cannot be read", "https://me:s3cret@host/x?X-Amz-Signature=s3cret")
    note(logger, "store_away", "s3://KEY:s3cret@bucket/x", store="http://me:s3cret@host/")
    said = capsys.readouterr().err
    assert "s3cret" not in said
    assert "bucket" in said


def test_a_frequent_event_becomes_rare_in_the_log_and_others_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(as_json=True)
    for number in range(10_000):
        note(logger, "store_away", f"away {number}")
    note(logger, "engine_died", "died")
    lines = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert LINES_OF_EACH < lines.count("store_away") < LINES_OF_EACH + 15
    assert lines[-1] == "engine_died"


@pytest.mark.parametrize(("more", "is_json"), [((), False), (("--log-json",), True)])
def test_a_job_says_why_it_ends_in_the_form_that_is_asked_for(
    more: tuple[str, ...], is_json: bool
) -> None:
    command = [
        sys.executable,
        "jobs/caption_dataset.py",
        "--input",
        "no-such-folder",
        "--output",
        "x",
    ]
    command += ["--model", "examples/nano/checkpoint", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    (line,) = done.stderr.splitlines()[-1:]
    assert done.returncode == 2
    assert "no-such-folder does not exist" in (json.loads(line)["message"] if is_json else line)
