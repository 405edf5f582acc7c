"""Images a second on one core from an object store that adds 50 ms to every request, against the
same images on disk.

Each image is fetched with `Fetcher.stream` and decoded to 12 tiles and a thumbnail with
`load_image`, in one process bound to one core; the store runs in another, bound to another core.
``got`` counts the images that came out with the expected number of tiles.

    python benchmarks/bench_fetch.py
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions

RESULTS = Path(__file__).parent / "results" / "fetch.json"
WIDTH, HEIGHT, TILES = 1536, 1152, 13
SERVER = """
import asyncio, sys
from aiohttp import web

async def answer(request):
    await asyncio.sleep(float(sys.argv[2]))
    return web.FileResponse(sys.argv[1] + request.path.removeprefix("/own"))

async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def make_image(seed: int) -> bytes:
    """A JPEG with detail of every size, as photographs have."""
    generator = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for size in (2, 4, 8, 16, 32, 64, 128):
        noise = generator.random((HEIGHT // size + 2, WIDTH // size + 2, 3), dtype=np.float32)
        picture += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) * size**0.8
    file = io.BytesIO()
    even = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    Image.fromarray(even).save(file, "JPEG", quality=90)
    return file.getvalue()


@contextmanager
def store(folder: Path, delay_s: float, core: int) -> Iterator[int]:
    """An HTTP server on loopback that answers late, also to S3's GetObject; gives its port."""
    command = [sys.executable, "-c", SERVER, str(folder), str(delay_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def rate(policy: ReadPolicy, uris: list[str]) -> tuple[float, int]:
    """Images a second on the clock, and how many came out right."""
    options = ImageOptions()
    with Fetcher(policy) as fetcher:
        list(fetcher.stream(uris[:8]))  # connections and clients are made once a job
        right = 0
        begun = time.perf_counter()
        for _, data in fetcher.stream(uris):
            right += isinstance(data, bytes) and len(load_image(data, options).tiles) == TILES
        return len(uris) / (time.perf_counter() - begun), right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--delay",
        type=float,
        default=0.05,
        help="seconds the store adds to a request (default 0.05)",
    )
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name, store(Path(name), options.delay, cores[0]) as port:
        folder = Path(name)
        several = [make_image(seed) for seed in range(8)]
        for number in range(options.images):
            (folder / f"{number}.jpg").write_bytes(several[number % len(several)])
        names = [f"{number}.jpg" for number in range(options.images)]
        base = f"http://127.0.0.1:{port}/"
        os.environ |= {
            "AWS_ENDPOINT_URL": base,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
        places = {
            "local": (ReadPolicy(str(folder)), names),
            "s3": (ReadPolicy("s3://own/"), names),
            "http": (ReadPolicy(base, allow=(base,)), names),
        }
        best = dict.fromkeys(places, (0.0, 0))
        for _ in range(options.rounds):
            for place, (policy, uris) in places.items():
                best[place] = max(best[place], rate(policy, uris))
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    records = [
        {
            "name": f"{place}_adding_{1000 * options.delay:g}_ms_{WIDTH}x{HEIGHT}",
            "unit": "images/s",
            "ours": round(best[place][0], 1),
            "rival_name": "the same from local files",
            "rival": round(best["local"][0], 1),
            "ratio": round(best[place][0] / best["local"][0], 3),
            "expected": options.images,
            "got": best[place][1],
            "machine": f"{model or platform.machine()}, 1 core, Python {platform.python_version()}",
        }
        for place in ("s3", "http")
    ]
    for record in records:
        print(json.dumps(record))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    return int(any(record["expected"] != record["got"] for record in records))


if __name__ == "__main__":
    sys.exit(main())
