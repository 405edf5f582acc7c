"""An engine process whose parent was killed ends, and one whose parent lives does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[4]
# A parent with a child as vLLM starts them: it says the child's id and then hangs.
PARENT = """
import multiprocessing, time
from internvl_ops.models.vllm_plugin.orphans import end_with_parent

def child(ready):
    end_with_parent()
    end_with_parent()
    ready.set()
    time.sleep(600)

if __name__ == "__main__":
    end_with_parent()  # started by no multiprocessing: nothing happens
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    started = context.Process(target=child, args=(ready,), daemon=True)
    started.start()
    ready.wait()
    print(started.pid, flush=True)
    time.sleep(600)
"""


def test_a_child_ends_with_its_parent_and_not_before(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        assert parent.poll() is None
        parent.kill()
        child.wait(timeout=30)
