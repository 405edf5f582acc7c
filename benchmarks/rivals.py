"""What the pipeline is measured against, each in a process of its own: ray.data.llm, and vLLM by
itself.

Both get images as Pillow images and the prompt as text, and leave tiling and tokenising to vLLM's
own processor for InternVL. They need two things this project does not: torchvision, whose only
builds on the package index are made for CUDA (see `install`), and a config class for
``internvl_chat`` (see ``rival_plugin``), which vLLM otherwise takes from remote code.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.processes import Timeline

TORCHVISION = "0.28.0"
PLUGIN = "rival_config"
IN_FLIGHT = 32  # as this pipeline's engine has on a CPU

# On a CPU build of torch, torchvision's Python half registers shapes for two operators that its
# CUDA half would define.
_OPERATORS = """\
import torch as _torch
_library = _torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def install(cache: Path) -> dict[str, str]:
    """Puts torchvision for the rivals into ``cache``, where only they find it; returns the
    environment they run in."""
    folder = cache / f"torchvision-{TORCHVISION}"
    if not folder.exists():
        subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--disable-pip-version-check",
                    "--no-deps",
                ),
                *("--target", str(folder), f"torchvision=={TORCHVISION}"),
            ],
            check=True,
        )
        start = folder / "torchvision" / "__init__.py"
        start.write_text(_OPERATORS + start.read_text())
    here = Path(__file__).parent
    path = os.pathsep.join([str(here / "rival_plugin"), str(folder), str(here.parent)])
    return {"PYTHONPATH": path, "VLLM_PLUGINS": PLUGIN}


def environment(cache: Path) -> dict[str, str]:
    """What the rivals run in: with torchvision as it is installed, as on a machine with a GPU, else
    as of `install`."""
    if importlib.util.find_spec("torchvision") is None:
        return install(cache)
    here = Path(__file__).parent
    return {
        "PYTHONPATH": os.pathsep.join([str(here / "rival_plugin"), str(here.parent)]),
        "VLLM_PLUGINS": PLUGIN,
    }


def engine_arguments(chosen: dict[str, Any]) -> dict[str, Any]:
    """``chosen`` as this project's engine has them, and what else makes the rivals quicker."""
    return chosen | {
        "mm_processor_cache_gb": 0,  # no image comes twice
        "limit_mm_per_prompt": {"image": 1, "video": 0},
        "disable_log_stats": True,
    }


def start(timeline: Timeline, urls: Sequence[str]) -> None:
    """The engine is ready: the clock starts, and the store answers."""
    timeline.note(0)
    store.open_gate(urls[0].rsplit("/", 1)[0])


def ray_data_llm(
    urls: Sequence[str],
    model: str,
    prompt: str,
    engine: dict[str, Any],
    sampling: dict[str, Any],
    batch_size: int,
) -> tuple[Timeline, list[dict[str, Any]]]:
    """ray.data.llm's vLLM processor behind a map that fetches and opens the files."""
    import ray
    from PIL import Image
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def open_image(row: dict[str, Any]) -> dict[str, Any]:
        image = Image.open(io.BytesIO(store.get(row["url"]))).convert("RGB")
        return {"prompt": prompt, "multimodal_data": {"image": image}, "sampling_params": sampling}

    config = vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs=engine_arguments(engine),
        batch_size=batch_size,
        max_concurrent_batches=max(1, IN_FLIGHT // batch_size),
        concurrency=1,
        # Prompts come rendered and answers are counted in tokens: the fewest stages there can be.
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        log_engine_metrics=False,
        placement_group_config={"bundles": [{"CPU": 1}]},
    )
    processor = build_processor(
        config,
        preprocess=open_image,
        postprocess=lambda row: {
            "prompt_tokens": row["num_input_tokens"],
            "completion_tokens": row["num_generated_tokens"],
        },
        # With a CPU to itself, which is the default, it would wait on two cores until every image
        # is opened.
        postprocess_map_kwargs={"num_cpus": 0},
    )
    dataset = processor(
        ray.data.from_items([{"url": url} for url in urls], override_num_blocks=len(urls))
    )
    rows: list[dict[str, Any]] = []
    with Timeline() as timeline:
        store.when_actor_is_ready("vLLMEngineStage", lambda: start(timeline, urls))
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            rows += batch.to_pylist()
            timeline.note(len(rows))
    ray.shutdown()
    return timeline, rows


def vllm_alone(
    urls: Sequence[str],
    model: str,
    prompt: str,
    engine: dict[str, Any],
    sampling: dict[str, Any],
    batch_size: int,
) -> tuple[Timeline, list[dict[str, Any]]]:
    """AsyncLLM in this process, `IN_FLIGHT` requests at a time; ``batch_size`` has no meaning
    here."""
    from PIL import Image
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

    llm = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **engine_arguments(engine)))
    timeline = Timeline()
    rows: list[dict[str, Any]] = []

    async def one(index: int, turn: asyncio.Semaphore) -> None:
        async with turn:
            image = await asyncio.to_thread(
                lambda: Image.open(io.BytesIO(store.get(urls[index]))).convert("RGB")
            )
            request = {"prompt": prompt, "multi_modal_data": {"image": image}}
            async for step in llm.generate(request, SamplingParams(**sampling), str(index)):
                output = step
        rows.append(
            {
                "prompt_tokens": len(output.prompt_token_ids),
                "completion_tokens": len(output.outputs[0].token_ids),
            }
        )
        timeline.note(len(rows))

    async def everything() -> None:
        turn = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.gather(*(one(index, turn) for index in range(len(urls))))

    with timeline:
        start(timeline, urls)
        asyncio.run(everything())
    llm.shutdown()
    return timeline, rows


RIVALS = {"ray_data_llm": ray_data_llm, "vllm_alone": vllm_alone}
