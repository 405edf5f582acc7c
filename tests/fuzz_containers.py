"""Fuzzes videos and documents in the sandbox, as the jobs read them: python -m
tests.fuzz_containers SECONDS [SEED]

Their decoders are C libraries that no Python fuzzer sees into, so mutations are drawn blindly. Says
how often each outcome came; ends with status 1 where one is neither a picture nor an error of the
file.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from internvl_ops.errors import UnitError
from internvl_ops.media.document import DocumentOptions
from internvl_ops.media.parts import DecodeOptions, Part, list_parts, load
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.video import VideoOptions
from testing import corpus_documents, corpus_video
from testing.corpus import DAMAGED, Entry, mutated

OPTIONS = {
    "video": DecodeOptions(
        kind="video", video=VideoOptions(num_frames=4, tile_size=28, max_pixels=2_000_000)
    ),
    "document": DecodeOptions(kind="document", document=DocumentOptions(tile_size=28, max_tiles=2)),
}
EXPECTED = {*DAMAGED, "decoder_crashed", "timeout", "too_large", "bad_row"}


def sound_files() -> list[Entry]:
    """Small sound files of both kinds."""
    clips = [
        corpus_video.Clip(codec=codec, frames=12, width=64, height=48)
        for codec in ("h264", "mpeg4", "vp9")
    ]
    return [
        *(Entry(f"{clip.codec}.mp4", corpus_video.make(clip), media="video") for clip in clips),
        Entry(
            "pages.pdf", corpus_documents.make(corpus_documents.Document(pages=2)), media="document"
        ),
    ]


def outcome(sandbox: Sandbox, kind: str, data: bytes) -> str:
    options = OPTIONS[kind]
    try:
        (first, *_) = sandbox.call(list_parts, data, options, timeout_s=10)
        sandbox.call(load, data, first if kind == "document" else Part(), options, 2, timeout_s=10)
    except UnitError as error:
        return error.kind
    return "read"


def main() -> int:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    counts, wrong = Counter[tuple[str, str]](), 0
    sandbox = Sandbox(memory_limit=1 << 30)
    until = time.monotonic() + seconds
    for entry in mutated(sound_files(), sys.maxsize, seed):
        if time.monotonic() > until:
            break
        kind = entry.media
        try:
            found = outcome(sandbox, kind, entry.data)
        except Exception as error:
            found = type(error).__name__
        counts[kind, found] += 1
        if found not in {"read", *EXPECTED}:
            wrong += 1
            Path(f"fuzz-{kind}-{found}-{wrong}.bin").write_bytes(entry.data)
    sandbox.close()
    for (kind, found), count in sorted(counts.items()):
        print(f"{kind:9} {found:16} {count:7,}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
