"""PDF pages a second on one core: from the document to tiles, against pypdfium2 rendering the same
pages and no more.

Both render to the same height in pixels. Pages of text are black on white with a red corner; on
tinted ones every pixel has a colour, and they are resized more slowly. CPU time, best of several
rounds taken in turn. Every page carries its number as a bar; ``got`` counts the pages that show the
right one. The last record goes through a document of 2,000 pages; its memory says that pages come
and go.

    python benchmarks/bench_document.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pypdfium2

from internvl_ops.media.document import DocumentOptions, render_page
from testing.corpus_documents import Document, make, scan, scanned

RESULTS = Path(__file__).parent / "results" / "document.json"
GRID_HEIGHT = 3 * 448  # what an A4 page fills with at most 12 tiles


def pages_ours(path: str, count: int, options: DocumentOptions) -> Iterator[np.ndarray]:
    """Tiles of every page, asked for one by one, as the prepare stage does."""
    for page in range(1, count + 1):
        yield render_page(path, page, options).tiles


def pages_alone(path: str, count: int, options: DocumentOptions) -> Iterator[np.ndarray]:
    document = pypdfium2.PdfDocument(path)
    scale = GRID_HEIGHT / document[0].get_height() if options.dpi is None else options.dpi / 72
    for page in range(count):
        yield document[page].render(scale=scale, rev_byteorder=True).to_numpy()


def bar(thumbnail: np.ndarray) -> int:
    """The number a page shows as a bar, from its thumbnail (3, height, width)."""
    row = thumbnail[:, int(thumbnail.shape[1] * 0.45)].mean(axis=0)
    return round(100 * int((row < 128).sum()) / len(row))


def measure(
    way: Callable[[], Iterator], rounds: int, others: Callable[[], Iterator]
) -> tuple[float, float]:
    """Least CPU seconds of the one and of the other, taken in turn."""
    least = [float("inf"), float("inf")]
    for _ in range(rounds):
        for place, pages in enumerate((way, others)):
            begun = time.process_time()
            for _ in pages():
                pass
            least[place] = min(least[place], time.process_time() - begun)
    return least[0], least[1]


def bench(
    name: str,
    data: bytes,
    count: int,
    options: DocumentOptions,
    rounds: int = 5,
    numbered: bool = True,
) -> dict:
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(data)
        file.flush()
        return bench_file(name, file.name, count, options, rounds, numbered)


def bench_file(
    name: str, path: str, count: int, options: DocumentOptions, rounds: int, numbered: bool
) -> dict:
    list(pages_ours(path, 1, options))  # what is allocated once
    before = peak_memory_mb()
    pages = enumerate(pages_ours(path, count, options), start=1)
    right = sum(not numbered or bar(tiles[-1]) == number % 100 for number, tiles in pages)
    growth = peak_memory_mb() - before
    ours, alone = measure(
        lambda: pages_ours(path, count, options), rounds, lambda: pages_alone(path, count, options)
    )
    return {
        "name": name,
        "unit": "pages/s",
        "ours": round(count / ours, 1),
        "rival_name": "pypdfium2 rendering, and nothing else",
        "rival": round(count / alone, 1),
        "ratio": round(alone / ours, 2),
        "expected": count,
        "got": right,
        "memory_growth_mb": round(growth, 1),
        "machine": describe_machine(),
    }


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def describe_machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    return f"{model or platform.machine()}, 1 core, Python {platform.python_version()}"


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    text = make(Document(pages=48, lines=55))
    tinted = make(Document(pages=48, lines=55, tinted=True))
    scans = scanned(*(scan(number) for number in range(1, 17)))
    records = [
        bench("text_into_grid", text, 48, DocumentOptions()),
        bench("text_150_dpi", text, 48, DocumentOptions(dpi=150)),
        bench("tinted_into_grid", tinted, 48, DocumentOptions()),
        bench("tinted_150_dpi", tinted, 48, DocumentOptions(dpi=150)),
        bench("scan_into_grid", scans, 16, DocumentOptions(), numbered=False),
        bench("scan_150_dpi", scans, 16, DocumentOptions(dpi=150), numbered=False),
        bench(
            "text_2000_pages_into_grid",
            make(Document(pages=2000, lines=40)),
            2000,
            DocumentOptions(),
            rounds=1,
        ),
    ]
    for record in records:
        print(json.dumps(record), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    wrong = [record["name"] for record in records if record["expected"] != record["got"]]
    if wrong:
        print(f"pages differ: {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
