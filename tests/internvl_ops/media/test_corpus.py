"""The whole corpus through the sandbox: every file accounted for, no crash, no hang, no more memory
than allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.image import TiledImage, load_image
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.sandbox import Sandbox
from testing.corpus import Entry, entries, mutated
from testing.corpus_images import image_entries

OPTIONS = ImageOptions(tile_size=56)  # small tiles: it is the decoders that are tried
MEMORY = 2 << 30


@pytest.fixture(scope="module")
def sound() -> list[Entry]:
    return entries([image_entries])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(memory_limit=MEMORY) as sandbox:
        yield sandbox


def outcome(sandbox: Sandbox, entry: Entry) -> TiledImage | UnitError:
    try:
        return sandbox.call(load_image, entry.data, OPTIONS, timeout_s=30)
    except UnitError as error:
        return error


def complaint(entry: Entry, result: TiledImage | UnitError) -> str:
    """What is wrong with the outcome; empty if it is one the corpus allows."""
    if isinstance(result, UnitError):
        return "" if result.kind in entry.errors and result.message else f"{entry.name}: {result}"
    if entry.errors and entry.size is None and not entry.name.startswith("mutated"):
        return f"{entry.name}: decoded, but {entry.errors} expected"
    if entry.size is not None and (result.width, result.height) != entry.size:
        return f"{entry.name}: {result.width}x{result.height}, but {entry.size} expected"
    if entry.note and not any(entry.note in note for note in result.notes):
        return f"{entry.name}: notes {result.notes}, but {entry.note!r} expected"
    if result.tiles.shape[1:] != (3, 56, 56) or not 1 <= len(result.tiles) <= 13:
        return f"{entry.name}: tiles of shape {result.tiles.shape}"
    return ""


def run(sandbox: Sandbox, corpus: list[Entry]) -> Counter[str]:
    results = {entry.name: outcome(sandbox, entry) for entry in corpus}
    assert len(results) == len(corpus)
    assert [text for entry in corpus if (text := complaint(entry, results[entry.name]))] == []
    counts = Counter(
        result.kind if isinstance(result, UnitError) else "tiles" for result in results.values()
    )
    print(
        f"{len(corpus)} files: {dict(counts)}; peak memory"
        f" {sandbox.peak_memory() / (1 << 20):.0f} MiB"
    )
    return counts


def test_every_kind_of_file_becomes_what_it_should(sandbox: Sandbox, sound: list[Entry]) -> None:
    assert len(sound) >= 400
    counts = run(sandbox, sound)
    assert counts["tiles"] >= 400
    assert sandbox.peak_memory() < MEMORY


def test_damaged_files_cost_a_row_each_at_most(sandbox: Sandbox, sound: list[Entry]) -> None:
    run(sandbox, list(mutated(sound, 400, seed=1)))
    assert sandbox.peak_memory() < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_very_many_damaged_files(sandbox: Sandbox, sound: list[Entry], seed: int) -> None:
    run(sandbox, list(mutated(sound, 5000, seed=100 + seed)))
    assert sandbox.peak_memory() < MEMORY


def test_the_corpus_is_the_same_every_time(sound: list[Entry]) -> None:
    assert [entry.data for entry in mutated(sound, 50)] == [
        entry.data for entry in mutated(sound, 50)
    ]
    assert len({entry.name for entry in sound}) == len(sound)
