"""olmOCR-Bench: small facts about pages, each of which an answer states or does not.

The forms of the facts, their limits and the figures are those of Poznanski et al., "olmOCR:
Unlocking Trillions of Tokens in PDFs with Vision Language Models" (2025), and of the benchmark's
own description and data. Formulas are compared as tokens, see `metrics.formulas`; there they are
drawn and compared by what stands where.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rapidfuzz import fuzz

from internvl_ops.evaluation.benchmark import Figures, Sample
from internvl_ops.evaluation.olmocr_marks import check_marks, has_footnote, has_format
from internvl_ops.evaluation.olmocr_text import normalised
from internvl_ops.evaluation.page_truths import PageTruth
from internvl_ops.metrics.formulas import contains, formula_tokens, formulas_in
from internvl_ops.metrics.near_matches import near_matches
from internvl_ops.metrics.table_cells import Cells, tables_of_cells

Fact = Mapping[str, Any]
BASELINE = "baseline"
_TEXTS: dict[str, tuple[str, ...]] = {
    "present": ("text",),
    "absent": ("text",),
    "order": ("before", "after"),
    "table": ("cell",),
    "math": ("math",),
    "format": ("text", "format"),
    "footnote": ("marker",),
    BASELINE: (),
}
_RELATIONS: dict[str, Callable[[Cells, int], set[int]]] = {
    "up": lambda table, cell: table.up[cell],
    "down": lambda table, cell: table.down[cell],
    "left": lambda table, cell: table.left[cell],
    "right": lambda table, cell: table.right[cell],
    "top_heading": Cells.headings_above,
    "left_heading": Cells.headings_to_the_left,
}
_LEAST_ALIKE = 0.5  # a cell that differs in more is another one, whatever its fact allows
_LONGEST_GRAM = 5  # characters of what may repeat at an answer's end
_MOST_REPEATS = 30
_IMAGES = re.compile(r"!\[.*?\]\(.*?\)")
# Chinese characters, kana and emoji: the pages are in English, so an answer with them is invented
_FOREIGN = re.compile(
    "[\u4e00-\u9fff\u3040-\u309f\u30a0-\u30ff\U0001f600-\U0001f64f\U0001f300-\U0001f5ff"
    "\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff]"
)
_SAMPLES = 1000  # of the bootstrap
_TAILS = (2.5, 97.5)  # of 100: an interval of 95


def read_facts(files: Mapping[str, str], pages: Sequence[str]) -> list[PageTruth]:
    """The facts of JSONL files, and for each document without a ``baseline`` one about its first
    page.

    Raises:
        ValueError: A line is no fact, or two have one id; it names the file and the line.
    """
    found: list[PageTruth] = []
    places: dict[str, str] = {}
    for name, text in sorted(files.items()):
        split = name.removesuffix(".jsonl")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                fact = _fact(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            if fact["id"] in places:
                raise ValueError(
                    f"{place}: the id {fact['id']!r:.80} is also that of {places[fact['id']]}; each"
                    " fact needs one of its own"
                )
            places[fact["id"]] = place
            found.append(_truth(fact, split))
    with_baseline = {one.file for one in found if one.category == BASELINE}
    for page in pages:
        if page not in with_baseline:
            fact = {"id": f"{page}_baseline", "pdf": page, "page": 1, "type": BASELINE}
            found.append(_truth(fact, BASELINE))
    return found


def states(fact: Fact, answer: str) -> bool:
    """Whether an answer states a fact, as `read_facts` returns it."""
    return _CHECKS[fact["type"]](fact, answer)


def score(samples: Sequence[Sample]) -> list[float]:
    """1 for a fact that the answer about its page states, else 0; a page that failed states
    none."""
    return [
        float(not sample.failed and states(json.loads(sample.answers[0]), sample.response))
        for sample in samples
    ]


def summarise(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """The mean of each file of facts, the mean of these means with half of its interval of 95 %,
    and the means by form of fact, times 100.

    The interval is that of 1,000 resamplings within each file, from a fixed seed.
    """
    files: dict[str, list[float]] = defaultdict(list)
    forms: dict[str, list[float]] = defaultdict(list)
    for sample, one in zip(samples, scores, strict=True):
        files[sample.split].append(one)
        forms[sample.category].append(one)
    if not files:
        return Figures({})
    means = {name: 100 * sum(some) / len(some) for name, some in files.items()}
    random = np.random.default_rng(0)
    drawn = [
        100 * random.choice(np.array(some), (_SAMPLES, len(some))).mean(axis=1)
        for some in files.values()
    ]
    low, high = np.percentile(np.mean(drawn, axis=0), _TAILS)
    overall = {"overall": sum(means.values()) / len(means), "±": float(high - low) / 2}
    by_form = {
        name: {"score": 100 * sum(some) / len(some), "questions": len(some)}
        for name, some in sorted(forms.items())
    }
    return Figures(overall | means, by_form)


def _truth(fact: dict[str, Any], split: str) -> PageTruth:
    truth = json.dumps(fact, ensure_ascii=False)
    return PageTruth(fact["id"], fact["pdf"], fact["page"], split, fact["type"], truth)


def _fact(given: Any) -> dict[str, Any]:
    """The fact of a line of data, without what is null. Raises ``ValueError`` if it is none."""
    if not isinstance(given, dict):
        raise ValueError("a JSON object is needed, with pdf, page, id and type")
    fact = {name: value for name, value in given.items() if value is not None}
    form = fact.get("type")
    if form not in _TEXTS:
        raise ValueError(f"type {form!r:.80}; one of {', '.join(_TEXTS)} is needed")
    for name in ("pdf", "id", *_TEXTS[form]):
        if not isinstance(fact.get(name), str) or not fact[name].strip():
            raise ValueError(f"{name} is {fact.get(name)!r:.80}; a text is needed for {form}")
    for name, least in (("page", 1), ("max_diffs", 0)):
        value = fact.setdefault(name, 0) if name == "max_diffs" else fact.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is {value!r:.80}; a whole number from {least} is needed")
    if form == "order" and fact["max_diffs"] > min(len(fact["before"]), len(fact["after"])) // 2:
        raise ValueError(
            f"max_diffs is {fact['max_diffs']}, more than half of the shorter of before and after"
        )
    check_marks(fact)
    return fact


def _present(fact: Fact, answer: str) -> bool:
    wanted, text = normalised(fact["text"]), normalised(answer)
    if not fact.get("case_sensitive", True):
        wanted, text = wanted.lower(), text.lower()
    first, last = fact.get("first_n"), fact.get("last_n")
    if first or last:
        text = (text[:first] if first else "") + (text[-last:] if last else "")
    if len(text) < len(wanted) - fact["max_diffs"]:
        return False  # else the text would be looked for in what is wanted
    return fuzz.partial_ratio(wanted, text) / 100 >= 1 - fact["max_diffs"] / len(wanted)


def _absent(fact: Fact, answer: str) -> bool:
    return not _present(fact, answer)


def _in_order(fact: Fact, answer: str) -> bool:
    text = normalised(answer)
    before, after = (
        [match.start for match in near_matches(normalised(fact[name]), text, fact["max_diffs"])]
        for name in ("before", "after")
    )
    return bool(before and after) and min(before) < max(after)


def _in_table(fact: Fact, answer: str) -> bool:
    asked = {name: normalised(fact[name]) for name in _RELATIONS if fact.get(name)}
    return any(
        all(
            any(_alike(wanted, table.texts[other], fact) for other in _RELATIONS[name](table, cell))
            for name, wanted in asked.items()
        )
        for table in tables_of_cells(answer, markdown=not fact.get("ignore_markdown_tables"))
        for cell, text in enumerate(table.texts)
        if _alike(normalised(fact["cell"]), text, fact)
    )


def _alike(wanted: str, text: str, fact: Fact) -> bool:
    least = max(_LEAST_ALIKE, 1 - fact["max_diffs"] / max(1, len(wanted)))
    return fuzz.ratio(wanted, normalised(text)) / 100 >= least


def _formula(fact: Fact, answer: str) -> bool:
    there = formulas_in(answer, dollars=not fact.get("ignore_dollar_delimited"))
    wanted = formula_tokens(fact["math"])
    return fact["math"] in there or any(contains(formula_tokens(one), wanted) for one in there)


def _baseline(fact: Fact, answer: str) -> bool:
    if (most := fact.get("max_length")) is not None:  # a page that is to be blank
        skipped = fact.get("max_length_skips_image_alt_tags")
        return _letters(_IMAGES.sub("", answer) if skipped else answer) <= most
    if not _letters(answer):
        return False
    most_repeats = fact.get("max_repeats", _MOST_REPEATS)
    if any(_repeats(answer, size) > most_repeats for size in range(1, _LONGEST_GRAM + 1)):
        return False
    return not (fact.get("check_disallowed_characters", True) and _FOREIGN.search(answer))


def _letters(text: str) -> int:
    return sum(letter.isalnum() for letter in text)


def _repeats(text: str, size: int) -> int:
    """How often the last ``size`` characters stand one after the other at the end."""
    last, count = text[-size:], 0
    while text.endswith(last, 0, len(text) - count * size) and len(text) >= (count + 1) * size:
        count += 1
    return count


_CHECKS: dict[str, Callable[[Fact, str], bool]] = {
    "present": _present,
    "absent": _absent,
    "order": _in_order,
    "table": _in_table,
    "math": _formula,
    "format": has_format,
    "footnote": has_footnote,
    BASELINE: _baseline,
}
