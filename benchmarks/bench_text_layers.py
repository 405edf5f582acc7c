"""What a PDF's text layer is good for: planted faults that `compare` finds, and pages that `prefer`
answers rightly.

The pages are made by `testing.born_digital` and go through the decoder as in a job. Of each page
that shows nothing but what its layer stores, three answers are made: one with an invention, one
with an omission, one with neither; all have other line ends, Markdown and some misread letters.

The rival of `compare` flags pages by their similarity with the layer, with the limit that gives as
many false alarms as allowed. The rival of `prefer` takes PDFium's text of every page that has any.

    python -m benchmarks.bench_text_layers
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass

import pypdfium2 as pdfium

from benchmarks.records import RESULTS, record
from internvl_ops.media.parts import DecodeOptions, Part, load
from internvl_ops.media.text_layer import TextLayer
from internvl_ops.page_texts.layer_comparison import FLAGS, INVENTION, OMISSION, compare
from testing.born_digital import BAD, GOOD, Page, answered, make_page, pdf

FALSE_ALARMS = 0.02


@dataclass
class Read:
    """A page, its layer, and PDFium's text of it."""

    page: Page
    layer: TextLayer
    plain: str

    def is_right(self, text: str) -> bool:
        return text.split() == "\n".join(self.page.truth).split()


def read(kind: str, seed: int) -> Read:
    page = make_page(kind, seed)
    data = pdf([page])
    layer = load(
        data, Part(page=1), DecodeOptions(kind="document", text_layer="prefer"), 12
    ).seen.layer
    assert layer is not None
    return Read(page, layer, pdfium.PdfDocument(data)[0].get_textpage().get_text_range())


def prefer(pages: list[Read]) -> dict:
    answers = [one for one in pages if not one.layer.doubts]
    right = sum(one.is_right(one.layer.text) for one in answers)
    with_text = [one for one in pages if one.plain.strip()]
    plain = sum(one.is_right(one.plain) for one in with_text)
    return record(
        "prefer_right_of_answered",
        "share of pages",
        right / len(answers),
        rival_name="PDFium's text of every page that has any",
        rival=plain / len(with_text),
        expected=len(answers),
        got=right,
        pages=len(pages),
        answered=len(answers),
        good_pages=sum(one.page.kind in GOOD for one in pages),
        rival_answered=len(with_text),
    )


def comparing(pages: list[Read]) -> list[dict]:
    pages = [one for one in pages if one.page.kind in GOOD]
    flags, similarity = {}, {}
    seconds, characters = 0.0, 0
    for planted in ("", INVENTION, OMISSION):
        found = []
        for number, one in enumerate(pages):
            answer = answered(one.page.truth, number, planted).text
            begun = time.process_time()
            found.append(compare(answer, one.layer.text, covers=True))
            seconds, characters = seconds + time.process_time() - begun, characters + len(answer)
        flags[planted] = [set(comparison.flags) for comparison in found]
        similarity[planted] = [comparison.similarity for comparison in found]
    alarms = sum(bool(one & set(FLAGS)) for one in flags[""])
    allowed = math.floor(FALSE_ALARMS * len(pages))
    limit = sorted(similarity[""])[allowed]
    records = [
        record(
            f"compare_{planted}s_found",
            "share of planted faults",
            sum(planted in one for one in flags[planted]) / len(pages),
            rival_name=(
                f"similarity below the limit that alarms on {FALSE_ALARMS:.0%} of right answers"
            ),
            rival=sum(value < limit for value in similarity[planted]) / len(pages),
            expected=len(pages),
            got=sum(planted in one for one in flags[planted]),
            false_alarms=alarms,
            false_alarm_share=round(alarms / len(pages), 4),
            ms_a_page=round(1000 * seconds / (3 * len(pages)), 2),
            characters_a_page=round(characters / (3 * len(pages))),
        )
        for planted in (INVENTION, OMISSION)
    ]
    return records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=40, help="Pages of each kind.")
    count = parser.parse_args().pages
    # Seeds apart from those of the tests, by which limits were chosen.
    pages = [read(kind, seed) for kind in (*GOOD, *BAD) for seed in range(1000, 1000 + count)]
    records = [*comparing(pages), prefer(pages)]
    for one in records:
        print(json.dumps(one), flush=True)
    (RESULTS / "text_layers.json").write_text(json.dumps(records, indent=1) + "\n")
    wrong = [
        one["name"]
        for one in records
        if one["got"] < one["expected"] * (0.99 if "prefer" in one["name"] else 0.95)
    ]
    if wrong:
        print(f"below the promise: {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
