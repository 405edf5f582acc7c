"""The whole pipeline against ray.data.llm and against vLLM alone: same checkpoint, engine
arguments, images and prompt.

    python -m benchmarks.bench_pipeline [--images 192] [--repeats 2]

Every system runs in a process of its own with one engine; this pipeline and ray.data.llm on a local
Ray that has every core. Images come over HTTP from a store that answers nobody before the engine is
ready; the clock runs from then until the last row is out, so that starting an engine costs nobody
anything and nobody works ahead. The front-end is the process that hosts vLLM's AsyncLLM; its CPU
time is taken over the same span.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks import records, rivals, store
from benchmarks.processes import Timeline

if TYPE_CHECKING:
    from pipelines.report.record import RunRecord

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
SIZE = (1600, 1200)  # 4 by 3: twelve tiles and the thumbnail
TILES = 13
MODELS = {
    # On two cores the engine's own work hides everything else, which on an accelerator costs no CPU
    # at all. Without layers in the vision model it is as near to that as a CPU comes; image, tiles
    # and prompt are the same.
    "light engine": "no vision layers: the engine takes little CPU, as on an accelerator",
    "one vision layer": "one vision layer, on the CPU",
}
NEW_TOKENS = 8
# images that this pipeline is given before the clock starts, since its engine starts with the first
# block
BLOCK = 8
# What this project's engine chooses on a CPU, written down so that all three get the same.
ENGINE = {
    "enforce_eager": True,
    "kv_cache_memory_bytes": 1 << 30,
    "distributed_executor_backend": "uni",
    "max_model_len": 8192,
}
ENVIRONMENT = {
    # engine and worker in one process; AsyncLLM's front-end stays apart
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",  # as Ray sets it for an actor of one CPU
    "RAY_worker_niceness": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
OURS, RAY, ALONE = "this pipeline", "ray.data.llm", "vLLM alone"
SYSTEMS = {"ours": OURS, "ray_data_llm": RAY, "vllm_alone": ALONE}


def draw_images(folder: Path, count: int, size: tuple[int, int] = SIZE) -> list[str]:
    """Writes ``count`` different JPEGs with the detail, and so the file size, of photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    scene = np.zeros((size[1], size[0], 3), np.float32)
    for cells, strength in ((5, 90), (40, 30), (300, 12)):  # from large shapes to texture
        noise = rng.normal(0, strength, (cells * 3 // 4, cells, 3)).astype(np.float32)
        for channel in range(3):
            scene[..., channel] += np.asarray(
                Image.fromarray(noise[..., channel]).resize(size, Image.BICUBIC)
            )
    scene = np.clip(scene + 128, 0, 255).astype(np.uint8)
    paths = [folder / f"{index:04d}.jpg" for index in range(count)]
    # moved, so that no two are alike and nothing is answered from a cache
    for index, path in enumerate(paths):
        Image.fromarray(np.roll(scene, (7 * index, 13 * index), (0, 1))).save(path, quality=90)
    return [str(path) for path in paths]


def make_model(folder: Path, kind: str) -> str:
    """A checkpoint with tiles of 448, one language layer, and one vision layer or none."""
    from safetensors.torch import load_file, save_file

    from testing.tiny import make_tiny_checkpoint

    make_tiny_checkpoint(folder, tile_size=448, layers=1, hidden=64)
    if kind == "light engine":
        config = json.loads((folder / "config.json").read_text())
        config["vision_config"]["num_hidden_layers"] = 0
        (folder / "config.json").write_text(json.dumps(config))
        weights = load_file(folder / "model.safetensors")
        kept = {name: weight for name, weight in weights.items() if "encoder.layers" not in name}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def ours(
    urls: list[str], model: str, **others: Any
) -> tuple[Timeline, list[dict[str, Any]], RunRecord]:
    """The caption job's pipeline, as ``internvl-batch caption`` calls it, with ``others`` of its
    options."""
    import pyarrow.parquet as pq

    from pipelines.annotate import annotate
    from pipelines.commands.job import check_job
    from pipelines.options.tasks import job_options
    from pipelines.options.tasks.caption import make_caption
    from pipelines.report.progress import ProgressLine

    address = urls[0].rsplit("/", 1)[0]
    early = [f"{address}/{len(urls) + index:04d}.jpg?early" for index in range(BLOCK)]
    timeline = Timeline()
    update = ProgressLine.update

    def noted(self: ProgressLine, finished: int, tokens: int, failed: int) -> None:
        if not timeline.points:  # the first block, for which the engine was started
            store.open_gate(address)
        timeline.note(finished)
        update(self, finished, tokens, failed)

    ProgressLine.update = noted  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch) / "images.txt"
        manifest.write_text("\n".join([*early, *urls]))
        chosen: dict[str, Any] = {
            "input": str(manifest),
            "output": f"{scratch}/out",
            "model": model,
            "allow": (f"{address}/",),
            "rows_per_block": BLOCK,
            "fetch_timeout": store.WAIT_S,
            "max_tiles": TILES - 1,
            "max_new_tokens": NEW_TOKENS,
            "retries": 0,
            "engine_args": ENGINE,
            "prepare_actors": 1,
            "engines": 1,
        }
        options = job_options("caption").model_validate(chosen | others)
        with timeline:
            run = annotate(options, *check_job(options, make_caption))
        print(run.summary(), file=sys.stderr)
        columns = ["image", "prompt_tokens", "completion_tokens"]
        rows = pq.read_table(f"{scratch}/out/results", columns=columns).to_pylist()
    return timeline, [row for row in rows if row["image"] not in early], run


def run_system(
    name: str, address: str, count: int, model: str, batch_size: int, resize: str
) -> dict[str, Any]:
    """Runs one system in this process and says how it went."""
    from internvl_ops.models.checkpoints.config import load_checkpoint
    from internvl_ops.models.prompts.rendering import Renderer
    from internvl_ops.tasks import caption

    urls = [f"{address}/{index:04d}.jpg" for index in range(count)]
    renderer = Renderer(load_checkpoint(model))
    if name == "ours":
        timeline, rows, _ = ours(urls, model, resize=resize)
    else:
        stop = sorted(renderer.tokenizer.stop_ids)
        sampling = {"temperature": 0.0, "max_tokens": NEW_TOKENS, "stop_token_ids": stop}
        prompt = renderer.text(caption().prompt, 1)
        timeline, rows = rivals.RIVALS[name](urls, model, prompt, ENGINE, sampling, batch_size)
    return timeline.rates() | {
        "rows": len(rows),
        "rows_expected": count,
        "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
        "prompt_tokens_expected": count * len(renderer.render(caption().prompt, [TILES]).token_ids),
        "completion_tokens": sum(row["completion_tokens"] for row in rows),
    }


def spawn(name: str, folder: Path, model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """`run_system` in a process of its own, in the environment that system needs."""
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    if name != "ours":
        environment |= rivals.install(CACHE)
    options = {"model": model, "images": arguments.images, "batch-size": arguments.batch_size}
    options |= {"resize": arguments.resize, "system": name}
    with (
        tempfile.NamedTemporaryFile("r", suffix=".json") as answer,
        store.gated_store(folder) as address,
    ):
        options |= {"store": address, "answer": answer.name}
        command = [
            sys.executable,
            "-m",
            "benchmarks.bench_pipeline",
            *(f"--{option}={value}" for option, value in options.items()),
        ]
        log = None if arguments.verbose else subprocess.DEVNULL
        subprocess.run(
            command, env=environment, check=True, cwd=ROOT, timeout=900, stdout=log, stderr=log
        )
        return json.load(answer)


def as_records(kind: str, found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    mine = found["ours"]
    written = []
    for name, rival in found.items():
        if name == "ours":
            continue
        rows = {
            "rival_name": SYSTEMS[name],
            "expected": mine["rows_expected"],
            "got": mine["rows"],
            "rival_got": rival["rows"],
            "model": MODELS[kind],
        }
        for what, unit, key in (
            ("images end to end", "images/s", "images_per_second"),
            ("CPU of the engine's front-end", "CPU s/image", "front_end_cpu"),
            ("CPU of vLLM's engine process", "CPU s/image", "engine_cpu"),
            ("CPU of all processes", "CPU s/image", "all_cpu"),
        ):
            less = unit != "images/s"
            written.append(
                records.record(
                    f"{what}, {kind}",
                    unit,
                    mine[key],
                    rival=rival[key],
                    less_is_better=less,
                    **rows,
                )
            )
        tokens = {"expected": mine["prompt_tokens_expected"], "got": mine["prompt_tokens"]}
        tokens |= {"rival_got": rival["prompt_tokens"]}
        answered = {
            "completion_tokens": {
                "ours": mine["completion_tokens"],
                "rival": rival["completion_tokens"],
            }
        }
        written.append(
            records.record(
                f"prompt tokens, {kind}",
                "tokens",
                mine["prompt_tokens"],
                rival=rival["prompt_tokens"],
                **rows | tokens | answered,
            )
        )
    return written


def measure(kind: str, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The quickest of each system's runs: what else the machine does can only slow one down."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.systems}
    with tempfile.TemporaryDirectory() as scratch:
        draw_images(Path(scratch) / "images", arguments.images + BLOCK)
        model = make_model(Path(scratch) / "model", kind)
        for _ in range(arguments.repeats):
            for name in arguments.systems:
                runs[name].append(spawn(name, Path(scratch) / "images", model, arguments))
                print(kind, SYSTEMS[name], json.dumps(runs[name][-1]), flush=True)
    return {
        name: max(several, key=lambda run: run["images_per_second"])
        for name, several in runs.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument(
        "--repeats", type=int, default=1, help="runs of every system; the quickest counts"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, help="of ray.data.llm (default 8, its quickest here)"
    )
    parser.add_argument(
        "--resize", choices=["fast", "exact"], default="fast", help="of this pipeline"
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--verbose", action="store_true", help="show what the systems say")
    for hidden in ("--system", "--store", "--model"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.system:
        found = run_system(
            arguments.system,
            arguments.store,
            arguments.images,
            arguments.model,
            arguments.batch_size,
            arguments.resize,
        )
        arguments.answer.write_text(json.dumps(found))
        return 0

    written, wrong = [], []
    for kind in arguments.models:
        found = measure(kind, arguments)
        for name, run in found.items():
            wrong += [
                f"{kind} {name} {key}"
                for key in ("rows", "prompt_tokens")
                if run[key] != run[f"{key}_expected"]
            ]
        if "ours" in found:
            written += as_records(kind, found)
    if len(arguments.systems) == len(SYSTEMS) and len(arguments.models) == len(MODELS):
        records.write("pipeline", written)
    if wrong:
        print(f"counts differ: {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
