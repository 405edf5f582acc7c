"""`vllm serve` for an InternVL checkpoint, with this project's tiling and the
family's own conversation template.

    internvl-batch serve OpenGVLab/InternVL2_5-8B --port 8000 \\
        --tensor-parallel-size 2

The server listens on this machine only. To serve other machines, add
--host 0.0.0.0 and --api-key KEY (or set VLLM_API_KEY): anyone with the key may
use the server. It fetches no images from URLs. Send images as data: URLs, as
this project's engine does, or allow hosts with --allowed-media-domains HOST.

Everything after the model is an option of `vllm serve`; see
`vllm serve --help=all`. No torchvision is needed and no code that comes with
the checkpoint runs. A prompt and its answer may together have the context that
the checkpoint was trained for; `--max-model-len` sets another. Jobs ask such a
server with `--engine openai`, and so can any other OpenAI client.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from internvl_ops.errors import ConfigurationError
from internvl_ops.models import vllm_plugin
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.prompts.jinja_template import jinja_template
from internvl_ops.scratch import ScratchFolder


def main(program: str, argv: Sequence[str]) -> None:
    """Serves the checkpoint that the first argument names, until it is stopped; the other arguments
    are vLLM's."""
    if not argv or argv[0] in ("--help", "-h"):
        print(__doc__)
        sys.exit(0 if argv else 2)
    if argv[0].startswith("-"):
        _refuse(f"{argv[0]}: name the checkpoint first, as in {program} OpenGVLab/InternVL2_5-8B.")
    try:
        checkpoint = load_checkpoint(argv[0])
        template = jinja_template(checkpoint)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    with ScratchFolder(swept=True) as folder:
        path = folder / "chat_template.jinja"
        path.write_text(template, encoding="utf-8")
        _serve(checkpoint, path, list(argv[1:]))


def context_options(checkpoint: Checkpoint, options: list[str]) -> list[str]:
    """Options of `vllm serve` that hold it to the checkpoint's context, unless `options` set
    another.

    By itself, vLLM would use the length that the config's `rope_scaling` promises. Answers beyond
    the trained context make no sense.
    """
    if any(option.replace("_", "-").startswith("--max-model-len") for option in options):
        return []
    return ["--max-model-len", str(checkpoint.served_context)]


def _serve(checkpoint: Checkpoint, template: Path, options: list[str]) -> None:
    options = _safely(options)
    vllm_plugin.make_findable()
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # What `vllm serve` runs; the command itself fails in the CPU build, which does not know its own
    # version.
    from vllm.entrypoints.launchers.api_server.entry import main as vllm_serve
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    if on_cpu:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.argv = ["vllm serve", *arguments(checkpoint, template, options, on_cpu=on_cpu)]
    vllm_serve()


def arguments(
    checkpoint: Checkpoint, template: Path, options: list[str], *, on_cpu: bool
) -> list[str]:
    """Arguments of `vllm serve`: this project's, then those of the command line, which win.

    Args:
        checkpoint: What is served.
        template: File of the chat template.
        options: From the command line.
        on_cpu: Whether vLLM runs on CPUs.
    """
    folder = checkpoint.model if Path(checkpoint.model).is_dir() else str(checkpoint.whole())
    chosen = [
        "--model",
        folder,
        "--chat-template",
        str(template),
        "--chat-template-content-format",
        "openai",
    ]
    if folder != checkpoint.model:
        chosen += ["--served-model-name", checkpoint.model]
    chosen += context_options(checkpoint, options)
    # A request may ask for fewer tiles than the checkpoint's; for more the plugin refuses it.
    chosen += ["--trust-request-mm-kwargs"]
    if on_cpu:
        context = checkpoint.context_length * checkpoint.kv_bytes_per_token
        chosen += [
            "--enforce-eager",
            "--kv-cache-memory-bytes",
            str(max(1 << 30, context + (1 << 26))),
        ]
    return [*chosen, *options]


def _safely(options: list[str]) -> list[str]:
    """Adds the options that restrict access to the server.

    Raises:
        SystemExit: The server would accept other machines without a key, its port is in use, or one
            of these options is cut short.
    """
    for name in (
        option.partition("=")[0].replace("_", "-") for option in options if option.startswith("--")
    ):
        whole = [known for known in _GUARDED if known.startswith(name) and known != name]
        if whole and len(name) > 2:  # vLLM would take it for the whole one
            _refuse(f"{name}: write {whole[0]} in full.")
    for name in _GUARDED:
        if _value(options, name) == "":
            _refuse(f"{name}: give a value after it.")
    host, port = _value(options, "--host") or "127.0.0.1", _value(options, "--port") or "8000"
    if _value(options, "--uds") is not None:
        return options
    if host not in ("127.0.0.1", "localhost", "::1") and not (
        _value(options, "--api-key") or os.environ.get("VLLM_API_KEY")
    ):
        _refuse(
            f"--host {host}: anyone who can reach this machine could use the server. Add --api-key"
            " KEY."
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except (ValueError, OverflowError):
            _refuse(f"--port {port}: give a number from 0 to 65535.")
        except OSError as error:
            _refuse(f"--port {port} on {host}: {error.strerror or error}. Choose another --port.")
    if _value(options, "--host") is None:
        options = ["--host", host, *options]
    if _value(options, "--allowed-media-domains") is None:
        options = [*options, "--allowed-media-domains", "none.invalid"]
    return options


_GUARDED = ("--host", "--port", "--uds", "--api-key", "--allowed-media-domains", "--max-model-len")


def _value(options: list[str], name: str) -> str | None:
    """The last value of an option, in either spelling; None if it is not given."""
    last = None
    for place, option in enumerate(options):
        spelling, equals, value = option.partition("=")
        if spelling.replace("_", "-") == name:
            last = value if equals else "".join(options[place + 1 : place + 2])
    return last


def _refuse(message: str) -> NoReturn:
    print(f"internvl_ops.serve: error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main("python -m internvl_ops.serve", sys.argv[1:])
