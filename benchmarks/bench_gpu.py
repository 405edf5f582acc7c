"""Real shapes with dummy weights on a GPU: this pipeline, vLLM's own LLM.chat, and batch_chat's
loop in plain torch.

    python -m benchmarks.bench_gpu [--shapes InternVL2_5-1B] [--precisions bf16] [--images 512]
    [--systems ours]

JPEGs of three sizes, each cut into 12 tiles of 448 pixels and the thumbnail; 128 new tokens are
forced, at a temperature of 1, since dummy weights answered greedily go round in circles. Every
system runs in a process of its own, and its clock starts when its engine is ready. This pipeline
gets its images over HTTP from a store that answers nobody before then, so that it prepares nothing
ahead of the clock; the rivals open the same files from disk. CUDA graphs are on.

Without a GPU it checks itself on the CPU, with one layer, few images and few tokens, and each
record says what that leaves out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import bench_pipeline, records, rivals, store
from benchmarks.processes import Timeline
from internvl_ops.cost import Cost
from internvl_ops.gpus import gpu_here
from internvl_ops.models.checkpoints.config import load_checkpoint

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
SIZES = [(640, 480), (1536, 1152), (4000, 3000)]  # 4 by 3: 12 tiles and the thumbnail
TILES = 13
SHAPES = ["InternVL2_5-1B", "InternVL2_5-4B", "InternVL2_5-8B"]
SYSTEMS = {
    "ours": "this pipeline",
    "llm_chat": "vLLM's LLM.chat with PIL images",
    "batch_chat": "batch_chat's loop in plain torch",
}
BATCH = 8  # images of the loop in torch at once, as the cards' evaluation scripts have them
QUESTION = "Provide a one-sentence caption for the provided image."
NOT_MEASURED = [
    "a GPU: every figure here is of a CPU",
    "the published number of layers: one of each model",
    "128 new tokens, and enough images for a steady rate",
    "fp8 and CUDA graphs",
    "CPU cores that a GPU needs",
]


@dataclass(frozen=True)
class Setting:
    """What all systems get.

    Args:
        shape: Of the registry.
        precision: bf16 or fp8.
        images: Their number.
        new_tokens: Of every answer.
        layers: Instead of the published number.
        gpu: Whether on one.
    """

    shape: str
    precision: str
    images: int
    new_tokens: int
    layers: int | None
    gpu: bool

    @property
    def engine(self) -> dict[str, Any]:
        """vLLM's arguments."""
        chosen: dict[str, Any] = {"load_format": "dummy", "max_model_len": 8192}
        if not self.gpu:
            chosen |= {
                "enforce_eager": True,
                "kv_cache_memory_bytes": 1 << 30,
                "distributed_executor_backend": "uni",
            }
        return chosen | ({"quantization": "fp8"} if self.precision == "fp8" else {})


def draw(folder: Path, count: int) -> None:
    """Writes ``count`` different JPEGs, the three sizes in turn."""
    for number, size in enumerate(SIZES):
        some = folder / str(number)
        bench_pipeline.draw_images(some, -(-count // len(SIZES)), size)
        for index, path in enumerate(sorted(some.iterdir())):
            path.rename(folder / f"{index * len(SIZES) + number:04d}.jpg")
        some.rmdir()


def ours(setting: Setting, model: str, folder: Path) -> dict[str, Any]:
    """The caption job's pipeline; that answers do not stop by themselves is no option of a job, and
    set here."""
    from pipelines.wiring import preparers as preparing

    sampling_of = preparing.sampling_of
    # No seed, as the rivals: each request would have a random generator of its own.
    preparing.sampling_of = lambda *given: replace(sampling_of(*given), ignore_stop=True, seed=None)
    with store.gated_store(folder) as address:
        urls = [f"{address}/{index:04d}.jpg" for index in range(setting.images)]
        many = {"prepare_actors": None} if setting.gpu else {}
        timeline, rows, run = bench_pipeline.ours(
            urls,
            model,
            max_new_tokens=setting.new_tokens,
            temperature=1.0,
            prompt=QUESTION,
            engine_args=setting.engine,
            **many,
        )
    told = run.measures
    said = {"stages": told.stages(), "bound": told.bound, **told.device()}
    return _found(timeline, rows) | {"run": said}


def llm_chat(setting: Setting, model: str, folder: Path) -> dict[str, Any]:
    """All images in one call, as vLLM's own examples do it."""
    from vllm import LLM, SamplingParams

    from internvl_ops.models.prompts.jinja_template import PLACEHOLDER, jinja_template
    from internvl_ops.models.prompts.rendering import TAG

    llm = LLM(model=model, **rivals.engine_arguments(setting.engine))
    sampling = SamplingParams(
        max_tokens=setting.new_tokens, temperature=1.0, ignore_eos=True, detokenize=False
    )
    timeline = Timeline()
    with timeline:
        timeline.note(0)
        chats = [
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_pil", "image_pil": Image.open(path).convert("RGB")},
                        {"type": "text", "text": QUESTION},
                    ],
                }
            ]
            for path in _paths(folder, setting.images)
        ]
        # vLLM's own processor looks for the tag and writes the image's tokens in its place.
        template = jinja_template(load_checkpoint(model)).replace(PLACEHOLDER, TAG)
        outputs = llm.chat(chats, sampling, chat_template=template, use_tqdm=False)  # type: ignore[arg-type]
        timeline.note(len(outputs))
    rows = [
        {
            "prompt_tokens": len(one.prompt_token_ids or ()),
            "completion_tokens": len(one.outputs[0].token_ids),
        }
        for one in outputs
    ]
    return _found(timeline, rows)


def batch_chat(setting: Setting, model: str, folder: Path) -> dict[str, Any]:
    """Batch after batch: load_image, one forward pass of the tiles, generate; in bf16."""
    import torch
    import transformers

    from benchmarks.bench_media import cards_load_image
    from internvl_ops.models.checkpoints.json_files import read_json
    from internvl_ops.models.checkpoints.native import native_config
    from internvl_ops.models.prompts.rendering import Renderer

    checkpoint = load_checkpoint(model)
    renderer = Renderer(checkpoint)
    device = torch.device("cuda" if setting.gpu else "cpu")
    config = transformers.InternVLConfig(
        **native_config(read_json(Path(model) / "config.json"), model)
    )
    config.image_token_id = renderer.tokenizer.image_context_id
    torch.set_default_dtype(torch.bfloat16)
    with device:
        network: Any = transformers.InternVLForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    ids = torch.from_numpy(renderer.render(QUESTION, [TILES]).token_ids).long()[None].to(device)
    lengths = {"max_new_tokens": setting.new_tokens, "min_new_tokens": setting.new_tokens}
    rows: list[dict[str, Any]] = []
    paths = _paths(folder, setting.images)
    began = time.monotonic()
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        pixels = torch.cat([cards_load_image(path.read_bytes()) for path in some]).to(
            device, torch.bfloat16
        )
        prompts = ids.repeat(len(some), 1)
        with torch.inference_mode():
            answers = network.generate(
                input_ids=prompts,
                pixel_values=pixels,
                attention_mask=torch.ones_like(prompts),
                do_sample=True,
                **lengths,
            )
        new = answers.shape[1] - ids.shape[1]
        rows += [{"prompt_tokens": ids.shape[1], "completion_tokens": new}] * len(some)
    return {"images_per_second": len(rows) / (time.monotonic() - began), **_counts(rows)}


def _paths(folder: Path, count: int) -> list[Path]:
    return [folder / f"{index:04d}.jpg" for index in range(count)]


def _found(timeline: Timeline, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return timeline.rates() | _counts(rows)


def _counts(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens")
    return {"rows": len(rows), **{name: sum(row[name] for row in rows) for name in names}}


def matrix_rate(gpu: bool) -> float:
    """bf16 FLOP/s of the quickest of some products of large square matrices."""
    import torch

    device, side = ("cuda", 8192) if gpu else ("cpu", 2048)
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(20 if gpu else 5):
        began = time.perf_counter()
        product = left @ right
        if gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
        del product
    return 2 * side**3 / best


RUNS = {"ours": ours, "llm_chat": llm_chat, "batch_chat": batch_chat}


def spawn(system: str, setting: Setting, model: str, folder: Path, verbose: bool) -> dict[str, Any]:
    """One system in a process of its own; what it found, or why it did not run."""
    environment = os.environ | bench_pipeline.ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    if setting.gpu:
        environment.pop("OMP_NUM_THREADS")
        environment |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    if system == "llm_chat":
        # else its engine is no process of its own
        environment |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
        environment |= rivals.environment(CACHE)
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        order = json.dumps([system, asdict(setting), model, str(folder), answer.name])
        command = [sys.executable, "-m", "benchmarks.bench_gpu", "--order", order]
        done = subprocess.run(command, env=environment, cwd=ROOT, timeout=1800,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)  # fmt: skip
        if verbose or done.returncode:
            print(done.stdout[-8000:], file=sys.stderr)
        if done.returncode:
            raised = re.findall(r"^\w*(?:Error|Exception|Interrupt)\b.*", done.stdout, re.MULTILINE)
            return {"failed": raised[-1] if raised else f"ended with status {done.returncode}"}
        return json.load(answer)


def as_records(
    setting: Setting, found: dict[str, dict[str, Any]], unit_flop: float, rate: float
) -> list[dict]:
    """Of one shape and precision."""
    mine = found["ours"]
    name = f"{setting.shape} {setting.precision}" + ("" if setting.gpu else ", one layer, on a CPU")
    common = {"expected": setting.images, "not_measured": [] if setting.gpu else NOT_MEASURED}
    if "failed" in mine:
        return [records.record(f"images end to end, {name}", "images/s", 0, rival_name="",
                               rival=None, got=0, **common, failed=mine["failed"])]  # fmt: skip
    written = []
    for system, rival in found.items():
        if system == "ours":
            continue
        theirs = rival.get("images_per_second")
        more = common | {"got": mine["rows"], "rival_name": SYSTEMS[system]}
        more |= {key: rival[key] for key in ("failed",) if key in rival}
        for what, unit, per_image in (
            ("images end to end", "images/s", 1.0),
            ("new tokens", "tokens/s", setting.new_tokens),
            ("share of the measured bf16 matrix rate", "share", unit_flop / rate),
        ):
            written.append(
                records.record(
                    f"{what}, {name}",
                    unit,
                    float(mine["images_per_second"] * per_image),
                    rival=None if theirs is None else float(theirs * per_image),
                    **more,
                    rival_got=rival.get("rows"),
                    completion_tokens={
                        "expected": setting.images * setting.new_tokens,
                        "got": mine["completion_tokens"],
                        "rival": rival.get("completion_tokens"),
                    },
                )
            )
        if setting.gpu and "all_cpu" in rival:
            cores = [run["all_cpu"] * run["images_per_second"] for run in (mine, rival)]
            written.append(
                records.record(
                    f"CPU cores a GPU needs, {name}", "cores", cores[0],
                    rival=cores[1], less_is_better=True, **more,
                )
            )  # fmt: skip
    for record in written:
        record |= {"measured_matrix_tflops": round(rate / 1e12, 2), "run": mine["run"]}
    return written


def main() -> int:
    gpu = gpu_here() is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--shapes", nargs="+", choices=SHAPES, default=SHAPES if gpu else SHAPES[:1]
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=["bf16", "fp8"],
        default=["bf16", "fp8"] if gpu else ["bf16"],
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--images", type=int, default=768 if gpu else 6)
    parser.add_argument("--new-tokens", type=int, default=128 if gpu else 8)
    parser.add_argument("--verbose", action="store_true", help="show what the systems say")
    parser.add_argument("--order", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.order:
        system, setting, model, folder, answer = json.loads(arguments.order)
        Path(answer).write_text(json.dumps(RUNS[system](Setting(**setting), model, Path(folder))))
        return 0

    written: list[dict] = []
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images"
        draw(images, arguments.images + bench_pipeline.BLOCK)
        rate = matrix_rate(gpu)
        print(f"bf16 matrix products: {rate / 1e12:.1f} TFLOP/s", flush=True)
        from benchmarks.shapes import make_shape

        layers = None if gpu else 1
        for shape in arguments.shapes:
            model = make_shape(Path(scratch) / shape, shape, layers)
            checkpoint = load_checkpoint(model)
            for precision in arguments.precisions:
                setting = Setting(
                    shape, precision, arguments.images, arguments.new_tokens, layers, gpu
                )
                found = {}
                for system in arguments.systems:
                    if system == "batch_chat" and precision != "bf16":
                        continue
                    found[system] = spawn(system, setting, model, images, arguments.verbose)
                    print(shape, precision, SYSTEMS[system], json.dumps(found[system]), flush=True)
                if "ours" in found:
                    prompt = found["ours"].get("prompt_tokens", 0) // arguments.images
                    flop = Cost.of(checkpoint).unit(TILES, prompt, arguments.new_tokens)
                    written += as_records(setting, found, flop, rate)
    differing = records.write("gpu", written)
    wrong = [
        record["name"]
        for record in written
        if len(
            {count for count in record.get("completion_tokens", {}).values() if count is not None}
        )
        > 1
    ]
    if differing or wrong:
        print(f"counts differ: {', '.join([*differing, *wrong])}")
    return bool(differing or wrong)


if __name__ == "__main__":
    sys.exit(main())
