"""Whom a server lets in, decided before a model is loaded."""

from __future__ import annotations

import socket

import pytest

from internvl_ops import serve


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
