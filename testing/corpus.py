"""The media corpus: a file of every kind that datasets hold, damaged copies of them, and what must
become of each.

As a script it writes the files and manifest.jsonl to a folder: python -m testing.corpus FOLDER
[--mutated 1000] Other media join by adding to ``SOURCES`` a function that yields `Entry`.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """One file of the corpus.

    Args:
        name: Of the file; unique in the corpus.
        data: Its bytes.
        size: Width and height of the upright image if it can be decoded.
        errors: Kinds of error that are right for it; empty if it must be decoded. With a size and
            errors, either is.
        note: Part of a note the result must carry.
        media: What reads it.
    """

    name: str
    data: bytes
    size: tuple[int, int] | None = None
    errors: tuple[str, ...] = ()
    note: str = ""
    media: Literal["image", "video", "document"] = "image"


# What a damaged file may become, as long as it is one of these: an image of some size, or a true
# error.
DAMAGED = ("corrupt", "unsupported", "too_large")


def entries(sources: Sequence[Callable[[], Iterable[Entry]]] | None = None) -> list[Entry]:
    """Every undamaged kind of file, and those that are broken in a way of their own."""
    return [entry for source in sources or SOURCES for entry in source()]


def mutated(sound: Sequence[Entry], count: int, seed: int = 0) -> Iterator[Entry]:
    """Yields ``count`` damaged copies: cut short, bits flipped, headers swapped, sizes that lie,
    stretches zeroed.

    The same seed gives the same files. Small files are taken as the stock, which keeps a run of
    thousands short.
    """
    stock = [entry for entry in sound if 100 < len(entry.data) < 200_000 and not entry.errors]
    for index in range(count):
        # Each file has its own generator: one can be made again without those before it.
        chance = random.Random(f"{seed}/{index}")
        entry = chance.choice(stock)
        ways = sorted(_MUTATIONS)
        way = ways[index % len(ways)]
        data = _MUTATIONS[way](entry.data, chance, stock)
        yield Entry(
            f"mutated-{index:05d}-{way}-{entry.name}", data, errors=DAMAGED, media=entry.media
        )


def _cut(data: bytes, chance: random.Random, stock: Sequence[Entry]) -> bytes:
    return data[: chance.randrange(len(data))]


def _flip(data: bytes, chance: random.Random, stock: Sequence[Entry]) -> bytes:
    changed = bytearray(data)
    # Half of them near the start, where one bit changes what everything after it means.
    end = len(data) if chance.random() < 0.5 else min(len(data), 400)
    for _ in range(chance.choice([1, 1, 2, 5, 20, 100])):
        changed[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _swap_header(data: bytes, chance: random.Random, stock: Sequence[Entry]) -> bytes:
    other = chance.choice(stock).data
    length = chance.choice([4, 8, 16, 32, 100])
    return other[:length] + data[length:]


def _zero(data: bytes, chance: random.Random, stock: Sequence[Entry]) -> bytes:
    start = chance.randrange(len(data))
    length = min(chance.choice([1, 16, 512, 4096]), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def _move(data: bytes, chance: random.Random, stock: Sequence[Entry]) -> bytes:
    """Takes out a stretch and puts it in elsewhere: blocks in the wrong order, or twice."""
    start, end = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
    stretch = data[start : min(end, start + 2000)]
    rest = data[:start] + data[start + len(stretch) :] if chance.random() < 0.5 else data
    place = chance.randrange(len(rest) + 1)
    return rest[:place] + stretch + rest[place:]


def _lie_about_size(data: bytes, chance: random.Random, stock: Sequence[Entry]) -> bytes:
    """Writes another width and height where the format keeps them; formats not known here get a
    number overwritten."""
    width, height = (chance.choice([0, 1, 7, 1000, 20_000, 65_535, 2**31 - 1]) for _ in range(2))
    if data.startswith(b"\x89PNG"):
        header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    if data.startswith(b"GIF8"):
        return data[:6] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + data[10:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    if data.startswith(b"\xff\xd8"):
        frame = max(
            data.find(b"\xff\xc0\x00\x11"),
            data.find(b"\xff\xc2\x00\x11"),
            data.find(b"\xff\xc0\x00\x0b"),
        )
        if frame >= 0:
            return (
                data[: frame + 5]
                + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
                + data[frame + 9 :]
            )
    place = chance.randrange(min(len(data) - 4, 400))
    return data[:place] + struct.pack(chance.choice("<>") + "I", width) + data[place + 4 :]


_MUTATIONS: dict[str, Callable[[bytes, random.Random, Sequence[Entry]], bytes]] = {
    "cut": _cut,
    "flip": _flip,
    "header": _swap_header,
    "zero": _zero,
    "move": _move,
    "size": _lie_about_size,
}


def write(folder: Path, corpus: Iterable[Entry]) -> int:
    """Writes the files and manifest.jsonl, one line a file; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(folder / "manifest.jsonl", "w") as manifest:
        for entry in corpus:
            (folder / entry.name).write_bytes(entry.data)
            row = {
                "id": entry.name,
                entry.media: entry.name,
                "size": entry.size,
                "errors": entry.errors,
            }
            manifest.write(json.dumps(row | {"note": entry.note}) + "\n")
            count += 1
    return count


def _image_entries() -> Iterable[Entry]:
    from testing.corpus_images import image_entries  # which takes Entry from here

    return image_entries()


SOURCES: list[Callable[[], Iterable[Entry]]] = [_image_entries]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--mutated", type=int, default=1000, help="damaged files to add (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    options = parser.parse_args()
    sound = entries()
    count = write(options.folder, [*sound, *mutated(sound, options.mutated, options.seed)])
    print(f"{count} files in {options.folder}, {len(sound)} of them undamaged kinds")


if __name__ == "__main__":
    main()
