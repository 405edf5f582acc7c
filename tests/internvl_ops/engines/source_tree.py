"""Run by test_source_tree.py from a copied source tree: starts an engine, asks it, kills it. Prints
JSON."""

import asyncio
import json
import os
import signal
import sys
from importlib.metadata import entry_points

import numpy as np
import psutil

from internvl_ops.engines.base import EngineDead, Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer


async def main(model: str) -> dict[str, object]:
    found = {"before": [point.value for point in entry_points(group="vllm.general_plugins")]}
    checkpoint = load_checkpoint(model)
    engine = VllmEngine(checkpoint, engine_args={"dtype": "float32"}, max_tiles=40)
    await engine.start()
    rendered = Renderer(checkpoint).render("Describe.", [2])
    tiles = np.arange(2 * 3 * 112 * 112, dtype=np.uint32).astype(np.uint8).reshape(2, 3, 112, 112)
    request = Request("one", rendered.token_ids, tiles, rendered.images, ["one"])
    completion = await engine.generate(request, Sampling(8, ignore_stop=True))
    longest = Renderer(checkpoint).render("Describe.", [41])
    big = Request(
        "big", longest.token_ids, np.zeros((41, 3, 112, 112), np.uint8), longest.images, ["big"]
    )
    await engine.generate(big, Sampling(1))

    long = [
        asyncio.create_task(engine.generate(request, Sampling(5000, ignore_stop=True)))
        for _ in range(2)
    ]
    while engine.unfinished < 2:
        await asyncio.sleep(0)
    alive_before = not engine.dead
    (core,) = [
        child
        for child in psutil.Process().children(recursive=True)
        if "EngineCore" in " ".join(child.cmdline())
    ]
    os.kill(core.pid, signal.SIGKILL)
    under_way = await asyncio.gather(*long, return_exceptions=True)
    afterwards = await asyncio.gather(engine.generate(request, Sampling(1)), return_exceptions=True)
    dead = engine.dead
    engine.shutdown()
    return found | {
        "from": VllmEngine.__module__ and sys.modules[VllmEngine.__module__].__file__,
        "token_ids": completion.token_ids,
        "alive_before": alive_before,
        "under_way": [isinstance(error, EngineDead) for error in under_way],
        "afterwards": [isinstance(error, EngineDead) for error in afterwards],
        "dead": dead,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
