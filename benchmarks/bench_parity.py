"""Whether the rendered path gives what vLLM's own processor gives, image by image.

The same pictures, checkpoint, prompt and engine settings twice, each in a process of its own: tiled
and rendered by this project and handed to vLLM as uint8; and as Pillow images and text that vLLM's
processor for InternVL tiles, normalises and tokenises. Prompt ids and greedy tokens are compared
one by one, and the log-probabilities of the twenty likeliest tokens at each of them. ``got`` counts
the pictures with the same prompt ids and the same answer.

    python -m benchmarks.bench_parity
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import records, rivals
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
QUESTION = "Provide a one-sentence caption for the provided image."
NEW_TOKENS = 16
SIZES = [
    (64, 64),
    (500, 480),
    (900, 450),
    (450, 910),
    (1350, 900),
    (640, 480),
    (1920, 1080),
    (700, 2800),
    (1344, 1340),
]
DTYPES = ["float32", "bfloat16"]
# The same batches and threads on both sides, as the order of sums shows in the last bits.
SETTINGS = {
    "enforce_eager": True,
    "max_num_batched_tokens": 4096,
    "max_num_seqs": 16,
    "kv_cache_memory_bytes": 1 << 30,
}
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


def picture(width: int, height: int) -> Image.Image:
    """A picture that is different in every tile and every channel."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 128 + 100 * np.sin(x / 17) * np.cos(y / 23)
    pixels = np.stack([x * 255 / width, y * 255 / height, waves], axis=-1).astype(np.uint8)
    pixels[height // 5 : height // 3, width // 2 : width // 2 + width // 4] = (250, 10, 30)
    return Image.fromarray(pixels)


async def ours(model: str, dtype: str) -> list[dict[str, Any]]:
    """This project's path."""
    from internvl_ops.engines import Request, Sampling, VllmEngine
    from internvl_ops.media.tiling import tile_image

    checkpoint = load_checkpoint(model)
    renderer = Renderer(checkpoint)
    engine = VllmEngine(checkpoint, engine_args={"dtype": dtype, **SETTINGS})
    await engine.start()
    answers = []
    for size in SIZES:
        tiles = tile_image(picture(*size), tile_size=checkpoint.tile_size, resize="exact")
        rendered = renderer.render(QUESTION, [len(tiles)])
        request = Request(str(size), rendered.token_ids, tiles, rendered.images, [str(size)])
        done = await engine.generate(request, Sampling(NEW_TOKENS, ignore_stop=True, logprobs=20))
        answers.append(
            {
                "prompt": rendered.token_ids.tolist(),
                "answer": done.token_ids,
                "logprobs": done.logprobs,
            }
        )
    engine.shutdown()
    return answers


async def vllms(model: str, dtype: str) -> list[dict[str, Any]]:
    """vLLM's own processor; nothing of this project but the prompt's text."""
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

    text = Renderer(load_checkpoint(model)).text(QUESTION, 1)
    settings = rivals.engine_arguments({"dtype": dtype, **SETTINGS})
    llm = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **settings))
    sampling = SamplingParams(
        max_tokens=NEW_TOKENS, temperature=0, ignore_eos=True, logprobs=20, detokenize=False
    )
    answers = []
    for size in SIZES:
        request = {"prompt": text, "multi_modal_data": {"image": picture(*size)}}
        async for step in llm.generate(request, sampling, str(size)):
            done = step
        answer = done.outputs[0]
        logprobs = [
            {token: entry.logprob for token, entry in position.items()}
            for position in answer.logprobs
        ]
        answers.append(
            {
                "prompt": list(done.prompt_token_ids),
                "answer": list(answer.token_ids),
                "logprobs": logprobs,
            }
        )
    llm.shutdown()
    return answers


SIDES = {"ours": ours, "vllms": vllms}


def run(side: str, model: str, dtype: str) -> list[dict[str, Any]]:
    """One side in a process of its own."""
    environment = rivals.install(CACHE) if side == "vllms" else {"PYTHONPATH": str(ROOT)}
    with tempfile.NamedTemporaryFile(suffix=".json") as answers:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_parity", side, model, dtype, answers.name],
            env={**os.environ, **environment, **ENVIRONMENT},
            cwd=ROOT,
            check=True,
        )
        return json.loads(Path(answers.name).read_text())


def compare(here: list[dict[str, Any]], there: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
    same_prompt = [one["prompt"] == other["prompt"] for one, other in zip(here, there, strict=True)]
    same_answer = [one["answer"] == other["answer"] for one, other in zip(here, there, strict=True)]
    differences = [
        abs(one_position[token] - other_position[token])
        for one, other in zip(here, there, strict=True)
        if one["answer"] == other["answer"]
        for one_position, other_position in zip(one["logprobs"], other["logprobs"], strict=True)
        for token in one_position.keys() & other_position.keys()
    ]
    equal = sum(prompt and answer for prompt, answer in zip(same_prompt, same_answer, strict=True))
    return records.record(
        f"same_answers_{dtype}",
        "images",
        equal,
        rival_name="vLLM's own processor",
        rival=len(SIZES),
        expected=len(SIZES),
        got=equal,
        same_prompt_ids=sum(same_prompt),
        same_greedy_tokens=sum(same_answer),
        largest_logprob_difference=max(differences, default=None),
        prompt_tokens=sum(len(one["prompt"]) for one in here),
    )


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in SIDES:  # as `run` calls it
        _, side, model, dtype, path = sys.argv
        Path(path).write_text(json.dumps(asyncio.run(SIDES[side](model, dtype))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", help="a checkpoint; without it a tiny one with tiles of 448 pixels is made"
    )
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            from testing.tiny import make_tiny_checkpoint

            model = str(make_tiny_checkpoint(folder, tile_size=448))
        compared = [
            compare(run("ours", model, dtype), run("vllms", model, dtype), dtype)
            for dtype in DTYPES
        ]
    differing = records.write("parity", compared)
    print(json.dumps(compared, indent=1))
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
