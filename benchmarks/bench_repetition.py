"""How many loops are seen, and how many texts are taken for one, against the public rule for
image-text data.

Three collections: the labelled texts the limits were set on, those held out, and excerpts of the
sources, stubs, documentation, licences, tables and JSON that the installed packages bring along,
none of which loops. The rival is the public rule: the share of distinct 10-grams of words that
occur more than once, rejected above 0.4. ``expected`` and ``got`` are texts to be judged and texts
that `is_repetitive` judges rightly.

Then what one look costs: `find_loop` on token ids, which is asked every few tokens while an answer
is generated, against the detection that vLLM brings, and `is_repetitive` on text.

    python -m benchmarks.bench_repetition
"""

from __future__ import annotations

import random
import re
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import records
from internvl_ops.quality import find_loop, is_repetitive
from testing.repetition_held_out import held_out_texts
from testing.repetition_texts import Labelled, labelled_texts

PACKAGES = Path(sysconfig.get_paths()["purelib"])
SUFFIXES = [
    ".py",
    ".pyi",
    ".h",
    ".json",
    ".txt",
    ".md",
    ".rst",
    ".csv",
    ".html",
    ".css",
    ".js",
    ".yaml",
    ".yml",
]
NAMES = ["LICENSE", "METADATA"]
FILES_OF_A_KIND = 1000
SIZES = (500, 1500, 4000, 12_000, 30_000)  # characters of an excerpt
RIVAL = "distinct 10-grams seen twice > 0.4"
LOOKS = 200


def ten_grams_repeat(text: str) -> bool:
    """The public rule."""
    words = text.split()
    counts = Counter(zip(*(words[start:] for start in range(10)), strict=False))
    return bool(counts) and sum(count > 1 for count in counts.values()) / len(counts) > 0.4


def excerpts() -> Iterator[Labelled]:
    """A random excerpt of each of so many files of a kind; which they are depends on what is
    installed."""
    kinds: dict[str, list[Path]] = {kind: [] for kind in [*SUFFIXES, *NAMES]}
    for path in sorted(PACKAGES.rglob("*")):
        kind = path.suffix if path.suffix in kinds else path.name
        if kind in kinds and path.is_file():
            kinds[kind].append(path)
    draw = random.Random(0)
    for kind, paths in kinds.items():
        for path in draw.sample(paths, min(len(paths), FILES_OF_A_KIND)):
            text = path.read_bytes().decode("utf-8", "replace")
            size = draw.choice(SIZES)
            start = draw.randrange(max(1, len(text) - size))
            if len(text) >= SIZES[0]:
                yield Labelled(kind.lstrip("."), text[start : start + size], False)


def judged(name: str, texts: Iterable[Labelled]) -> list[dict[str, Any]]:
    """Loops found and other texts left alone in a collection, with the counts of each kind of
    text."""
    texts = list(texts)
    ours = [is_repetitive(text.text) for text in texts]
    rival = [ten_grams_repeat(text.text) for text in texts]
    entries = []
    for loops, measure in ((True, "loops found"), (False, "other texts left alone")):
        chosen = [number for number, text in enumerate(texts) if text.loops == loops]
        if not chosen:
            continue
        right, rivals_right = (
            sum(verdict[number] == loops for number in chosen) for verdict in (ours, rival)
        )
        entries.append(
            records.record(
                f"{name}, {measure}",
                "share of texts",
                right / len(chosen),
                rival_name=RIVAL,
                rival=rivals_right / len(chosen),
                expected=len(chosen),
                got=right,
                kinds=_by_kind(texts, chosen, ours, rival),
            )
        )
    return entries


def _by_kind(
    texts: list[Labelled], chosen: list[int], ours: list[bool], rival: list[bool]
) -> dict[str, dict[str, int]]:
    kinds: dict[str, dict[str, int]] = {}
    for number in chosen:
        kind = kinds.setdefault(texts[number].kind, {"texts": 0, "found": 0, "rival_found": 0})
        kind["texts"] += 1
        kind["found"] += ours[number]
        kind["rival_found"] += rival[number]
    return kinds


def loops_while_generating() -> list[dict[str, Any]]:
    """`find_loop` on excerpts as if they were being generated, looked at now and then, in a real
    vocabulary."""
    encode = _vocabulary()
    texts = list(excerpts())[:: len(SIZES)]
    alarms = looks = 0
    for text in texts:
        tokens = encode(text.text)
        for size in range(256, len(tokens) + 1, 256):
            alarms += find_loop(tokens[:size]) is not None
            looks += 1
    return [
        records.record(
            "find_loop while generating, installed files left alone",
            "share of looks",
            1 - alarms / looks,
            rival_name="",
            rival=None,
            expected=looks,
            got=looks - alarms,
            texts=len(texts),
        )
    ]


def _vocabulary() -> Callable[[str], list[int]]:
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    found = sorted((PACKAGES / "mistral_common" / "data").glob("tekken_*.json"))[-1]
    tokenizer = Tekkenizer.from_file(found)
    return lambda text: tokenizer.encode(text, bos=False, eos=False)


def cost(
    name: str, ours: Callable[[], object], rival_name: str, rival: Callable[[], object] | None
) -> dict[str, Any]:
    """Microseconds of one look, the best of five times."""
    return records.record(
        name,
        "µs a look",
        _microseconds(ours),
        rival_name=rival_name,
        rival=_microseconds(rival) if rival else None,
        expected=0,
        got=int(bool(ours())),
        less_is_better=True,
    )


def _microseconds(look: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(5):
        start, looks = time.perf_counter(), 0
        while looks < LOOKS and time.perf_counter() - start < 0.5:
            look()
            looks += 1
        best = min(best, (time.perf_counter() - start) / looks)
    return best * 1e6


def costs() -> Iterator[dict[str, Any]]:
    from vllm.sampling_params import RepetitionDetectionParams
    from vllm.v1.core.sched.utils import check_sequence_repetition

    # What it takes for vLLM to see the periods that `find_loop` sees at 8,000 tokens.
    settings = RepetitionDetectionParams(max_pattern_size=3900, min_pattern_size=1, min_count=2)
    for size in (256, 1024, 8000):
        tokens = random.Random(0).choices(range(151_674), k=size)
        name = f"find_loop, answer of {size} tokens"
        yield cost(
            name,
            lambda tokens=tokens: find_loop(tokens),
            "vLLM check_sequence_repetition",
            lambda tokens=tokens: check_sequence_repetition(tokens, settings),
        )
    prose = " ".join(text.text for text in labelled_texts() if text.kind == "prose")
    for size in (100, 1000, 20_000):
        text = re.sub(
            r"\b(\w)", lambda first: chr(97 + hash(first.start()) % 26) + first[1], prose * 20
        )[:size]
        yield cost(
            f"is_repetitive, answer of {size} characters",
            lambda text=text: is_repetitive(text),
            RIVAL,
            lambda text=text: ten_grams_repeat(text),
        )


def main() -> int:
    found = [
        *judged("labelled texts", labelled_texts()),
        *judged("held out texts", held_out_texts()),
        *judged("installed files", excerpts()),
        *loops_while_generating(),
        *costs(),
    ]
    records.write("repetition", found)
    for entry in found:
        print(
            entry["name"],
            entry["ours"],
            entry["rival"],
            f"{entry['got']} of {entry['expected']}",
            sep=" | ",
        )
    # The limits of the project: a loop in fifty may be missed, a text in a hundred be taken for
    # one.
    return int(
        any(
            entry["got"] < entry["expected"] * (0.98 if "loops found" in entry["name"] else 0.99)
            for entry in found
        )
    )


if __name__ == "__main__":
    sys.exit(main())
