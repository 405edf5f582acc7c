"""Whom a server lets in, decided before a model is loaded."""

from __future__ import annotations

import argparse
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from internvl_ops import serve
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from testing.cluster import ROOT


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)


def test_this_machine_alone_and_no_fetches_unless_asked_for() -> None:
    options = serve._safely(["--port", "0"])
    assert options[:2] == ["--host", "127.0.0.1"]
    assert "--allowed-media-domains" in options


@pytest.mark.parametrize("given", [["--host", "0.0.0.0"], ["--host=::"], ["--host", ""]])
def test_other_machines_need_a_key(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve._safely(["--port", "0", *given, *(["--host", "0.0.0.0"] if given[-1] == "" else [])])
    assert ended.value.code == 2
    assert "--api-key" in capsys.readouterr().err
    serve._safely(["--port", "0", "--host", "0.0.0.0", "--api-key", "k"])


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used, pytest.raises(SystemExit) as ended:
        serve._safely(["--port", str(used.getsockname()[1])])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "Address already in use" in said[0]


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    """What reads the arguments of `vllm serve`."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser())


def given(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """The option with a value other than its default."""
    name = max(action.option_strings, key=len)
    values: list[list[str]] = (
        [[]] if action.nargs == 0 else [[str(one)] for one in action.choices or ()]
    )
    values += [[one] for one in ("3", "0.5", '{"a": 1}', "another", "a=/b")]
    for value in values:
        with contextlib.suppress(SystemExit, Exception), contextlib.redirect_stderr(None):
            if getattr(parser.parse_args([name, *value]), action.dest) != action.default:
                return [name, *value]
    return []


def read(
    parser: argparse.ArgumentParser, checkpoint: Checkpoint, options: list[str]
) -> dict[str, Any]:
    return vars(
        parser.parse_args(
            serve.arguments(checkpoint, Path("t.jinja"), serve._safely(options), on_cpu=True)
        )
    )


def test_every_option_of_vllm_has_the_value_that_is_given(
    parser: argparse.ArgumentParser, nano: Checkpoint
) -> None:
    kept_out = {"help", "host", "port", "uds", "config"}  # see above; a config is read from a file
    tried = 0
    for action in parser._actions:
        if (
            action.dest in kept_out
            or not action.option_strings
            or not (option := given(parser, action))
        ):
            continue
        tried += 1
        alone = vars(parser.parse_args(option))[action.dest]
        assert read(parser, nano, ["--port", "0", *option])[action.dest] == alone, option
    assert tried > 100


def test_what_is_set_here_is_known_to_vllm(
    parser: argparse.ArgumentParser, nano: Checkpoint
) -> None:
    set_here = read(parser, nano, ["--port", "0"])
    assert set_here["host"] == "127.0.0.1"
    assert set_here["allowed_media_domains"] == ["none.invalid"]
    assert set_here["chat_template"] == "t.jinja"
    assert set_here["max_model_len"] == nano.served_context


@pytest.mark.parametrize("short", ["--hos", "--hos=0.0.0.0", "--api", "--allowed-media-domain"])
def test_an_option_cut_short_lets_nobody_in(short: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve._safely(["--port", "0", short, *([] if "=" in short else ["0.0.0.0"])])
    assert ended.value.code == 2
    assert short.partition("=")[0] in capsys.readouterr().err


@pytest.fixture(scope="module")
def nano() -> Checkpoint:
    return load_checkpoint(str(ROOT / "examples" / "nano" / "checkpoint"))
