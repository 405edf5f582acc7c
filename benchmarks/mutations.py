"""What mistakes in the pipeline cost nano-InternVL in accuracy: python -m benchmarks.mutations
--count 60

Each of `benchmarks.mistakes.MUTATIONS` is put into the running code, and the same held-out
questions are asked again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks import records
from benchmarks.accuracy import CHECKPOINT, FIGURES, weights_sha256
from benchmarks.mistakes import MUTATIONS, Guard
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.models.checkpoints.config import load_checkpoint
from testing.running_engine import RunningEngine

NONE = "none"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=60, help="questions a task")
    count = parser.parse_args().count
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    checkpoint = load_checkpoint(str(CHECKPOINT))
    engine = RunningEngine(VllmEngine(checkpoint))
    found = {}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            guard = Guard(engine, checkpoint, Path(scratch), count)
            for name, scores in [
                (NONE, guard.scores()),
                *((n, guard.scores(make)) for n, make in MUTATIONS.items()),
            ]:
                found[name] = {FIGURES[task][0]: round(value, 4) for task, value in scores.items()}
                print(f"{name}: {found[name]}", flush=True)
    finally:
        engine.close()
    told = {
        "n": count,
        "weights_sha256": weights_sha256(),
        "machine": records.machine(),
        "mutations": found,
    }
    (records.RESULTS / "mutations.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
