"""Videos a second on one core: 8 of 600 frames at 720p to tiles, against the raw decoders and the
model cards' code.

The rivals "decord" and "PyAV" only decode the same frames to RGB; ours also resizes and tiles them.
A rate is one over the least CPU time of several rounds, ours and the rivals' taken in turn: CPU
time, because a neighbour on the machine moves it less than the clock on the wall, and on one core
they are the same. Every frame carries its number; ``got`` counts those that are the ones asked for.

    python benchmarks/bench_video.py
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("SVT_LOG", "1")

import av
import cv2
import decord
import numpy as np
import torch
from PIL import Image

from internvl_ops.media.clips import ClipOptions, split_video
from internvl_ops.media.video import VideoOptions, load_video
from testing.corpus_video import same_scheduling

RESULTS = Path(__file__).parent / "results" / "video.json"
FRAMES, WIDTH, HEIGHT, TAKEN = 600, 1280, 720, 8
BITS = 10
STRIP = 48  # pixels at the top, where the number is painted
ENCODERS = {
    "h264": ("libx264", "mp4", {"preset": "medium", "crf": "23"}),
    "hevc": ("libx265", "mp4", {"preset": "fast", "x265-params": "log-level=none"}),
    "vp9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", "mp4", {"preset": "10", "crf": "30"}),
    "mpeg4": ("mpeg4", "mp4", {"b": "4M"}),
}


def make_video(codec: str) -> bytes:
    """A textured background that pans, a block that crosses it, a little noise."""
    encoder, container, options = ENCODERS[codec]
    generator = np.random.default_rng(0)
    ground = cv2.GaussianBlur(
        generator.integers(0, 255, (HEIGHT + 200, WIDTH + 700, 3), np.uint8), (0, 0), 6
    )
    ground = cv2.normalize(ground, None, 0, 255, cv2.NORM_MINMAX)
    with tempfile.NamedTemporaryFile(suffix=f".{container}") as file:
        with same_scheduling(), av.open(file.name, "w") as out:
            stream = out.add_stream(encoder, rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for number in range(FRAMES):
                picture = paint(number, ground, generator)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            out.mux(stream.encode(None))
        return Path(file.name).read_bytes()


def paint(number: int, ground: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    top, left = number // 4 % 200, number % 700
    picture = ground[top : top + HEIGHT, left : left + WIDTH].astype(np.int16)
    across = number * 5 % (WIDTH - 200)
    picture[200:400, across : across + 200] = (255 - number % 255, number % 255, 90)
    picture += generator.integers(-6, 7, (HEIGHT, WIDTH, 1), dtype=np.int16)
    for bit in range(BITS):
        picture[:STRIP, bit * WIDTH // BITS : (bit + 1) * WIDTH // BITS] = 255 * (number >> bit & 1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def read_number(picture: np.ndarray) -> int:
    """The number painted into uint8 (height, width, 3)."""
    height, width = picture.shape[:2]
    row = picture[height * STRIP // HEIGHT // 2]
    return sum(int(row[int((bit + 0.5) * width / BITS)].mean() > 127) << bit for bit in range(BITS))


def by_the_cards(frames: int, count: int) -> list[int]:
    part = (frames - 1) / count
    return [int(part / 2 + np.round(part * k)) for k in range(count)]


NUMBERS = by_the_cards(FRAMES, TAKEN)


def with_ours(data: bytes) -> list[np.ndarray]:
    return list(load_video(data, VideoOptions(num_frames=TAKEN)).tiles.transpose(0, 2, 3, 1))


def with_decord(data: bytes) -> list[np.ndarray]:
    reader = decord.VideoReader(io.BytesIO(data), ctx=decord.cpu(0), num_threads=1)
    return list(reader.get_batch(by_the_cards(len(reader), TAKEN)).asnumpy())


def with_pyav_forward(data: bytes) -> list[np.ndarray]:
    wanted, found = set(NUMBERS), []
    with av.open(io.BytesIO(data)) as container:
        _one_thread(container)
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                found.append(frame.to_ndarray(format="rgb24"))
            if len(found) == TAKEN:
                break
    return found


def with_pyav_seeks(data: bytes) -> list[np.ndarray]:
    found = []
    with av.open(io.BytesIO(data)) as container:
        stream = _one_thread(container)
        for number in NUMBERS:
            time_wanted = round(number / stream.average_rate / stream.time_base)
            container.seek(time_wanted, stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= time_wanted)
            found.append(frame.to_ndarray(format="rgb24"))
    return found


def _one_thread(container: av.container.InputContainer) -> av.VideoStream:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "NONE"
    return stream


def with_the_cards(data: bytes) -> list[np.ndarray]:
    """What the model cards' load_video does: decord frame by frame, Pillow to one tile, normalised
    float32."""
    mean = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
    deviation = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
    reader = decord.VideoReader(io.BytesIO(data), ctx=decord.cpu(0), num_threads=1)
    tiles = []
    for number in by_the_cards(len(reader), TAKEN):
        image = Image.fromarray(reader[number].asnumpy()).convert("RGB")
        tile = image.resize((448, 448)).crop((0, 0, 448, 448)).convert("RGB")
        pixels = torch.from_numpy(np.array(tile)).permute(2, 0, 1).contiguous().float().div(255)
        tiles.append((pixels - mean) / deviation)
    whole = torch.stack(tiles) * deviation + mean  # undone here only to read the numbers off
    return list((whole * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


RAW = {
    "decord": with_decord,
    "PyAV, decoding on": with_pyav_forward,
    "PyAV, seeking": with_pyav_seeks,
}


def least_time(
    ways: dict[str, Callable[[bytes], list]], data: bytes, rounds: int
) -> dict[str, float]:
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way(data)
            least[name] = min(least[name], time.process_time() - begun)
    return least


def right_frames(pictures: list[np.ndarray]) -> int:
    return sum(
        read_number(picture) == number for picture, number in zip(pictures, NUMBERS, strict=True)
    )


def opens(way: Callable[[bytes], list], data: bytes) -> bool:
    try:
        way(data)
    except decord.DECORDError:
        return False
    return True


def bench_codec(codec: str, rounds: int, machine: str) -> list[dict]:
    data = make_video(codec)
    raw = {name: way for name, way in RAW.items() if opens(way, data)}
    cards = {"model cards' load_video": with_the_cards} if opens(with_the_cards, data) else {}
    least = least_time({"ours": with_ours, **raw, **cards}, data, rounds)
    got = right_frames(with_ours(data))
    fastest = min(raw, key=least.__getitem__)
    return [
        {
            "name": (
                f"{codec}_720p_{TAKEN}_of_{FRAMES}_against_{'raw' if rival in raw else 'cards'}"
            ),
            "unit": "videos/s",
            "ours": round(1 / least["ours"], 3),
            "rival_name": rival,
            "rival": round(1 / least[rival], 3),
            "ratio": round(least[rival] / least["ours"], 2),
            "expected": TAKEN,
            "got": got,
            "rival_got": right_frames((raw | cards)[rival](data)),
            "all_ms": {name: round(1000 * seconds, 1) for name, seconds in least.items()},
            "machine": machine,
        }
        for rival in [fastest, *cards]
    ]


def bench_scenes(machine: str) -> dict:
    """Splitting by scene decodes every frame; the rival does that and nothing else."""
    data = make_video("h264")

    def ours(data: bytes) -> list:
        return split_video(data, ClipOptions(by="scenes"))

    def decode_all(data: bytes) -> list:
        with av.open(io.BytesIO(data)) as container:
            _one_thread(container)
            return [None for _ in container.decode(video=0)]

    least = least_time({"ours": ours, "PyAV": decode_all}, data, 2)
    return {
        "name": "h264_720p_scene_changes",
        "unit": "frames/s",
        "ours": round(FRAMES / least["ours"], 1),
        "rival_name": "PyAV decoding every frame, and nothing else",
        "rival": round(FRAMES / least["PyAV"], 1),
        "ratio": round(least["PyAV"] / least["ours"], 2),
        "expected": FRAMES,
        "got": len(decode_all(data)),
        "machine": machine,
    }


def describe_machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    return f"{model or platform.machine()}, 1 core, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = describe_machine()
    records = []
    for codec in options.codecs:
        records += bench_codec(codec, options.rounds, machine)
        for record in records[-2:]:
            print(json.dumps(record), flush=True)
    records.append(bench_scenes(machine))
    print(json.dumps(records[-1]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    wrong = [record["name"] for record in records if record["expected"] != record["got"]]
    if wrong:
        print(f"frames differ: {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
