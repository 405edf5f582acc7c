"""Bytes that tiles travel between nodes: engines that take the tiles of their own node first,
against engines that take whatever is next.

    python -m benchmarks.bench_distance [--images 96]

The cluster is real but for its nodes, which are all this machine: each has an object store of its
own, and what another node needs is copied there. Counted is what Ray writes into the stores of all
nodes beyond what the stages made: a copy is written once more. The engine is `testing.stand_in`.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.bench_pipeline import draw_images
from testing.stand_in import Latency, make_stand_in

NODES = 3
STORE = 512 << 20
TILES = 13
IMAGE_BYTES = TILES * 3 * 448 * 448
# about 40 requests a second: slower than the preparing, so that each engine has tiles to choose
DEVICE = Latency(prefill_s=1e-5, prompt_tokens=3400, step_s=0.02, max_running=16)


def written_bytes() -> int:
    """Bytes written to the object stores of all live nodes so far."""
    import ray
    from ray._private.internal_api import node_stats

    return sum(
        node_stats(
            node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False
        ).store_stats.cumulative_created_bytes
        for node in ray.nodes()
        if node["Alive"]
    )


def measure(images: str, near_first: bool, scratch: Path) -> dict[str, Any]:
    """The caption job's pipeline in this process."""
    import ray
    from ray.cluster_utils import Cluster
    from ray.data import DataContext

    from pipelines import annotate
    from pipelines.commands.job import check_job
    from pipelines.options.tasks import job_options
    from pipelines.options.tasks.caption import make_caption
    from testing.tiny import make_tiny_checkpoint

    # Ray's own default is True, and it asks users not to change it.
    DataContext.get_current().execution_options._actor_locality_enabled = near_first
    slow = str(scratch / "slow")
    annotate.engine_maker = lambda *_: functools.partial(make_stand_in, DEVICE, 1.0, slow)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(NODES):
        nodes.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, logging_level="error")
    try:
        options = job_options("caption")(
            input=images,
            output=str(scratch / "out"),
            model=str(make_tiny_checkpoint(scratch / "model", layers=1, hidden=64, tile_size=448)),
            max_tiles=TILES - 1,
            max_new_tokens=16,
            retries=0,
            prepare_actors=NODES,
            engines=NODES,
            gpus_per_engine=1,
            in_flight=16,
            rows_per_block=2,
            quiet=True,
        )
        before = written_bytes()
        record = annotate.annotate(options, *check_job(options, make_caption))
        written = written_bytes() - before
    finally:
        ray.shutdown()
        nodes.shutdown()
    return {"results": record.totals.results, "written": written, "seconds": record.seconds}


def spawn(images: str, near_first: bool) -> dict[str, Any]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        asked = [images, str(int(near_first)), str(answer)]
        command = [sys.executable, "-m", "benchmarks.bench_distance", "--one", *asked]
        subprocess.run(command, check=True, timeout=1200)
        return json.loads(answer.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        images, near_first, answer = arguments.one
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(images, bool(int(near_first)), Path(scratch))
        Path(answer).write_text(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch)
        draw_images(images, arguments.images)
        near, anywhere = spawn(str(images), True), spawn(str(images), False)
    made = arguments.images * IMAGE_BYTES
    copied = [
        max(1, found["written"] - made) / 1e6 / arguments.images for found in (near, anywhere)
    ]
    record = records.record(
        f"tiles between {NODES} nodes",
        "MB copied an image",
        copied[0],
        rival_name="engines take whatever is next",
        rival=copied[1],
        expected=2 * arguments.images,
        got=near["results"] + anywhere["results"],
        less_is_better=True,
        tiles_mb=round(IMAGE_BYTES / 1e6, 2),
        seconds={"ours": round(near["seconds"], 1), "rival": round(anywhere["seconds"], 1)},
    )
    print(json.dumps(record))
    return bool(records.write("distance", [record]))


if __name__ == "__main__":
    sys.exit(main())
