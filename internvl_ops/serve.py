"""`vllm serve` for an InternVL checkpoint, with this project's tiling and the family's own conversation template.

    python -m internvl_ops.serve OpenGVLab/InternVL2_5-8B --port 8000 --tensor-parallel-size 2

Everything after the model is an option of `vllm serve`; see `vllm serve --help=all`. No torchvision is needed and no
code that comes with the checkpoint runs. What it serves is what `--engine openai` asks, and any other OpenAI client.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from internvl_ops.errors import ConfigurationError
from internvl_ops.models import vllm_plugin
from internvl_ops.models.config import Checkpoint, load_checkpoint
from internvl_ops.models.jinja_template import jinja_template


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["--help"], ["-h"]) else 2)
    try:
        checkpoint = load_checkpoint(sys.argv[1])
        template = jinja_template(checkpoint)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory(prefix="internvl-serve-") as folder:
        path = Path(folder) / "chat_template.jinja"
        path.write_text(template, encoding="utf-8")
        _serve(checkpoint, path, sys.argv[2:])


def _serve(checkpoint: Checkpoint, template: Path, options: list[str]) -> None:
    vllm_plugin.make_findable()
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # What `vllm serve` runs; the command itself fails in the CPU build, which does not know its own version.
    from vllm.entrypoints.launchers.api_server.entry import main as vllm_serve
    from vllm.platforms import current_platform

    chosen = ["--chat-template", str(template), "--chat-template-content-format", "openai"]
    # A request may ask for fewer tiles than the checkpoint's; for more the plugin refuses it.
    chosen += ["--trust-request-mm-kwargs"]
    if current_platform.is_cpu():
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        context = checkpoint.context_length * checkpoint.kv_bytes_per_token
        chosen += ["--enforce-eager", "--kv-cache-memory-bytes", str(max(1 << 30, context + (1 << 26)))]
    sys.argv = ["vllm serve", "--model", checkpoint.model, *chosen, *options]
    vllm_serve()


if __name__ == "__main__":
    main()
