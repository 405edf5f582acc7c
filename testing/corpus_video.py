"""Makes small videos of every kind datasets hold, each frame with its own number painted into it.

As a script it writes them to a folder: python testing/corpus_video.py FOLDER
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder's own chatter
BITS = 10  # of the painted number
CODECS = {
    "h264": ("libx264", "mp4", {"preset": "veryfast", "crf": "18"}),
    "hevc": (
        "libx265",
        "mp4",
        {"preset": "veryfast", "crf": "18", "x265-params": "log-level=none:bframes=3"},
    ),
    "vp9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "1M"}),
    "av1": ("libsvtav1", "mp4", {"preset": "8", "crf": "20"}),
    "mpeg4": ("mpeg4", "mp4", {"bf": "2", "b": "2M"}),
}


@dataclass(frozen=True)
class Clip:
    """How a test video is made.

    Args:
        codec: One of ``CODECS``.
        times: For each frame, when it is shown, in 1/``fps``; consecutive numbers if empty.
        rotation: Degrees in the display matrix.
        container: Instead of the codec's usual one.
        options: For the encoder, besides the codec's usual ones.
        cuts: Frames where a scene of another colour begins.
        container_options: For the muxer.
        numbered: Paint the number; without it only the scenes change.
    """

    codec: str = "h264"
    frames: int = 60
    width: int = 320
    height: int = 180
    fps: int = 25
    times: tuple[int, ...] = ()
    rotation: int = 0
    container: str = ""
    audio: bool = False
    options: dict[str, str] = field(default_factory=dict)
    cuts: tuple[int, ...] = ()
    container_options: dict[str, str] = field(default_factory=dict)
    numbered: bool = True


def make(clip: Clip) -> bytes:
    """The clip's file."""
    encoder, container, options = CODECS[clip.codec]
    with tempfile.TemporaryDirectory() as folder, same_scheduling():
        # not in memory: for an index in front the muxer reads its own file again
        path = Path(folder) / "clip"
        _write(path, clip, encoder, clip.container or container, {**options, **clip.options})
        return path.read_bytes()


@contextlib.contextmanager
def same_scheduling() -> Iterator[None]:
    """Gives the thread back its scheduling: as root, the AV1 encoder makes it a real-time one, and
    all that it starts later takes the machine from everything else."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _write(path: Path, clip: Clip, encoder: str, container: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w", format=container, options=clip.container_options) as out:
        stream = out.add_stream(encoder, rate=clip.fps, options=options)
        # 4:2:0 cannot hold an odd width; 4:4:4 can.
        odd = clip.width % 2 or clip.height % 2
        stream.width, stream.height, stream.pix_fmt = (
            clip.width,
            clip.height,
            "yuv444p" if odd else "yuv420p",
        )
        stream.codec_context.time_base = Fraction(1, clip.fps)
        if clip.rotation:
            stream.set_display_rotation(clip.rotation)
        sound = out.add_stream("aac", rate=48000) if clip.audio else None
        for number, time in enumerate(clip.times or range(clip.frames)):
            frame = av.VideoFrame.from_ndarray(paint(number, clip), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, clip.fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            _mux_silence(out, sound, clip.frames / clip.fps)


def paint(number: int, clip: Clip) -> np.ndarray:
    """A picture that shows its number as a row of black and white blocks above and a moving pattern
    below."""
    scene = sum(number >= cut for cut in clip.cuts)
    rows, columns = np.mgrid[0 : clip.height, 0 : clip.width]
    base = [(60, 110, 160), (200, 60, 40), (30, 160, 60), (220, 220, 60)][scene % 4]
    wave = 40 * np.sin((columns + 3 * number) / 11.0) + 20 * np.cos(rows / 7.0)
    picture = np.clip(np.array(base) + wave[..., None], 0, 255).astype(np.uint8)
    edges = np.linspace(0, clip.width, BITS + 1).astype(int)
    for bit in range(BITS if clip.numbered else 0):
        picture[: clip.height // 2, edges[bit] : edges[bit + 1]] = 255 if number >> bit & 1 else 0
    return picture


def read_number(picture: np.ndarray) -> int:
    """The number painted into a picture of any size, uint8 (height, width, 3) or a tile (3, height,
    width)."""
    if picture.shape[0] == 3:
        picture = picture.transpose(1, 2, 0)
    height, width = picture.shape[:2]
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return sum(
        int(picture[height // 4, centre].mean() > 127) << bit for bit, centre in enumerate(centres)
    )


def audio_only() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        _mux_silence(out, out.add_stream("aac", rate=48000), 1.0)
    return file.getvalue()


def _mux_silence(out, stream, seconds: float) -> None:
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, int(48000 * seconds)), np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts = 48000, 0
    fifo = av.AudioFifo()
    fifo.write(frame)
    while (chunk := fifo.read(1024)) is not None:
        out.mux(stream.encode(chunk))
    out.mux(stream.encode(None))


def truncated(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def flipped(data: bytes, seed: int, flips: int = 20, spare: int = 0) -> bytes:
    """The file with some bits turned over, none of them in its first ``spare`` bytes."""
    random_bits, damaged = random.Random(seed), bytearray(data)
    for _ in range(flips):
        damaged[random_bits.randrange(spare, len(damaged))] ^= 1 << random_bits.randrange(8)
    return bytes(damaged)


def lying_size(data: bytes, width: int, height: int) -> bytes:
    """An MP4 whose header and sample description claim another frame size."""
    damaged = bytearray(data)
    sample = next(
        at
        for name in (b"avc1", b"hvc1", b"hev1")
        if (at := damaged.find(name, damaged.find(b"stsd"))) > 0
    )
    damaged[sample + 28 : sample + 32] = struct.pack(">HH", width, height)
    return bytes(damaged)


FAST_START = {"movflags": "faststart"}
KINDS: dict[str, Clip] = {
    **{codec: Clip(codec) for codec in CODECS},
    "one_frame": Clip(frames=1),
    "two_frames": Clip(frames=2),
    "long_gop": Clip(frames=90, options={"g": "1000", "sc_threshold": "0"}),
    "all_keyframes": Clip(options={"g": "1"}),
    "open_gop": Clip(
        frames=90, options={"x264-params": "open-gop=1:keyint=20:bframes=3:scenecut=0"}
    ),
    "hevc_open_gop": Clip(
        "hevc", frames=90, options={"x265-params": "log-level=none:open-gop=1:keyint=20:bframes=4"}
    ),
    "variable_rate": Clip(
        times=tuple(n + (n > 20) * 30 + (n > 40) * 3 * (n - 40) for n in range(60))
    ),
    "odd_size": Clip(width=321, height=181),
    "tiny": Clip(width=32, height=16),
    "tall": Clip(width=90, height=640),
    "rotated_90": Clip(rotation=90),
    "rotated_minus_90": Clip(rotation=-90),
    "rotated_180": Clip(rotation=180),
    "hevc_rotated": Clip("hevc", rotation=90),
    "with_sound": Clip(audio=True),
    "matroska": Clip(container="matroska"),
    "transport_stream": Clip(container="mpegts"),
    "avi": Clip("mpeg4", container="avi"),
    "raw_h264": Clip(container="h264"),
    "flv": Clip(container="flv"),
    "fragmented": Clip(
        container_options={"movflags": "frag_keyframe+empty_moov"}, options={"g": "12"}
    ),
    "fast_start": Clip(container_options=FAST_START),
    "vp9_variable_rate": Clip("vp9", times=tuple(n * 2 + (n > 30) * 25 for n in range(60))),
}


def files() -> dict[str, bytes]:
    """Every kind of video, whole and damaged, by name."""
    whole = {name: make(clip) for name, clip in KINDS.items()}
    damaged = {"audio_only": audio_only(), "lying_size": lying_size(whole["h264"], 65000, 65000)}
    for name in ("fast_start", "matroska", "transport_stream", "vp9", "hevc"):
        damaged[f"{name}_half"] = truncated(whole[name], 0.5)
        damaged |= {f"{name}_flipped_{seed}": flipped(whole[name], seed) for seed in range(3)}
    return whole | damaged


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (folder / name).write_bytes(data)
    print(f"{len(list(folder.iterdir()))} files in {folder}")
