"""The blank guard on 200 pages of each kind: what it finds, and what it takes for blank.

The pages are drawn, with the faults of scanners and of paper (`testing.blank_pages`). ``expected``
and ``got`` are pages, and those that were judged rightly. The rival is what users do without a
guard: a page is blank if its standard deviation of grey levels is below a limit, and that is the
limit at which it judges most of these pages rightly.

    python -m benchmarks.bench_blank
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np

from benchmarks.records import record, write
from internvl_ops.media.blank import is_blank
from testing.blank_pages import BLANK, SHOWS_SOMETHING

PAGES = 200
RIVAL = "standard deviation of grey levels"


def judged(kind: str, first: int = 0, pages: int = PAGES) -> tuple[list[bool], list[float]]:
    """Whether each page of a kind is called blank, and its deviation."""
    cv2.setNumThreads(1)
    make = (BLANK | SHOWS_SOMETHING)[kind]
    blank, deviation = [], []
    for seed in range(first, first + pages):
        page = make(np.random.default_rng(seed))
        blank.append(is_blank(page))
        deviation.append(float(cv2.cvtColor(page, cv2.COLOR_RGB2GRAY).std()))
    return blank, deviation


def main() -> int:
    kinds = [*BLANK, *SHOWS_SOMETHING]
    with ProcessPoolExecutor(2) as workers:
        found = {}
        for kind, told in zip(kinds, workers.map(judged, kinds), strict=True):
            found[kind] = told
            wrong = [seed for seed, blank in enumerate(told[0]) if blank != (kind in BLANK)]
            print(f"{kind}: {PAGES - len(wrong)} of {PAGES}", wrong[:12], flush=True)
    truth = np.repeat([kind in BLANK for kind in kinds], PAGES)
    deviations = np.concatenate([found[kind][1] for kind in kinds])
    limits = np.unique(deviations.round(1))
    limit = max(limits, key=lambda at: int(((deviations < at) == truth).sum()))
    records = []
    for kind in kinds:
        blank, deviation = found[kind]
        right = sum(one == (kind in BLANK) for one in blank)
        simple = sum((one < limit) == (kind in BLANK) for one in deviation)
        records.append(
            record(
                kind,
                "share judged rightly",
                right / PAGES,
                rival_name=f"{RIVAL} below {limit:.1f}",
                rival=simple / PAGES or None,
                expected=PAGES,
                got=right,
                is_blank=kind in BLANK,
            )
        )
    write("blank", records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
