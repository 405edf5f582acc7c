"""The benchmarks with options to choose from."""

from __future__ import annotations

from typing import Any

from internvl_ops.evaluation import choice_readers, readers, scoring
from internvl_ops.evaluation.benchmark import Benchmark
from internvl_ops.evaluation.choice_readers import LETTER, LETTER_COLUMNS
from internvl_ops.metrics import exact_match, internvl_letter

CHINESE_LETTER = "{}\n请直接回答选项字母。"
_FIELDS = ("question", "answers", "options", "category")
_ASKED = {"question": ("question",), "answers": ("answer",)}
_MMBENCH: dict[str, Any] = {
    "metric": "circular accuracy",
    "needs": {**_ASKED, "index": ("index",), "A": ("A",), "B": ("B",)},
    "may_have": {
        "hint": ("hint",),
        "category": ("category",),
        "C": ("C",),
        "D": ("D",),
        "E": ("E",),
    },
    "read": readers.read_mmbench,
    "fields": (*_FIELDS, "group"),
    "score": scoring.letter_of_options,
    "splits": ("dev", "test"),
    "min_new_tokens": 1,
}
_IN_FIRST_PLACE = scoring.each(
    lambda sample: internvl_letter(sample.response, sample.options) == sample.answers[0]
)  # as InternVL's scripts for ScienceQA and MMVP

CHOICE_BENCHMARKS: dict[str, Benchmark] = {
    "mmbench": Benchmark(
        title="MMBench-EN",
        prompt=f"{{}}\n{LETTER}",
        summarise=scoring.circular("MMBench-EN"),
        **_MMBENCH,
    ),
    "mmbench_cn": Benchmark(
        title="MMBench-CN",
        prompt=CHINESE_LETTER,
        summarise=scoring.circular("MMBench-CN"),
        **_MMBENCH,
    ),
    "ccbench": Benchmark(
        title="CCBench dev",
        metric="accuracy",
        prompt=CHINESE_LETTER,
        needs={**_ASKED, "A": ("A",), "B": ("B",)},
        may_have={"category": ("category",), "C": ("C",), "D": ("D",), "E": ("E",)},
        read=choice_readers.read_ccbench,
        fields=_FIELDS,
        score=scoring.letter_of_options,
        summarise=scoring.overall("CCBench dev"),
        min_new_tokens=1,
    ),
    "ai2d": Benchmark(
        title="AI2D test",
        metric="equal but for case",
        prompt="{}",
        needs=_ASKED,
        may_have={**LETTER_COLUMNS, "choices": ("options",)},
        read=choice_readers.read_ai2d,
        fields=("question", "answers", "options"),
        score=scoring.by_answers(exact_match),
        summarise=scoring.overall("AI2D test"),
        max_new_tokens=10,
        min_new_tokens=1,
    ),
    "seed": Benchmark(
        title="SEED-Image",
        metric="accuracy",
        prompt="{}",
        needs={"question": ("text", "question"), "answers": ("answer",)},
        may_have={
            **{letter: (letter, f"choice_{letter.lower()}") for letter in "ABCD"},
            "category": ("category",),
            "kind": ("question_type_id",),
            "medium": ("data_type",),
        },
        read=choice_readers.read_seed,
        fields=_FIELDS,
        score=scoring.each(lambda sample: sample.response[:1] == sample.answers[0]),
        summarise=scoring.overall("SEED-Image"),
        min_new_tokens=1,
    ),
    "realworldqa": Benchmark(
        title="RealWorldQA",
        metric="accuracy",
        prompt="{}",
        needs={**_ASKED, "A": ("A",), "B": ("B",)},
        may_have={**LETTER_COLUMNS, "hint": ("hint",), "category": ("category",)},
        read=choice_readers.read_choices,
        fields=_FIELDS,
        score=scoring.letter_of_options,
        summarise=scoring.overall("RealWorldQA"),
        max_new_tokens=1024,
    ),
    "mmmu": Benchmark(
        title="MMMU",
        metric="accuracy",
        prompt="{}",
        needs=_ASKED,
        may_have={
            **LETTER_COLUMNS,
            "choices": ("options",),
            "hint": ("hint",),
            "category": ("category",),
            "split": ("split",),
            "name": ("id",),
        },
        read=choice_readers.read_mmmu,
        fields=_FIELDS,
        media_names=("image", "image_1"),
        more_media=tuple(f"image_{number}" for number in range(2, 8)),
        score=scoring.letter_of_options,
        summarise=scoring.means("MMMU"),
        splits=("dev", "val"),
        max_tiles=12,
        max_new_tokens=1024,
        enlarge=2,
        tile_share="evaluation",
    ),
    "scienceqa": Benchmark(
        title="ScienceQA",
        metric="accuracy",
        prompt="{}",
        needs={**_ASKED, "choices": ("choices",)},
        may_have={"hint": ("hint",), "category": ("subject",)},
        read=choice_readers.read_scienceqa,
        fields=_FIELDS,
        score=_IN_FIRST_PLACE,
        summarise=scoring.overall("ScienceQA test"),
        min_new_tokens=1,
    ),
    "mmvp": Benchmark(
        title="MMVP",
        metric="accuracy of pairs",
        prompt="{}",
        needs={
            "question": ("Question",),
            "options": ("Options",),
            "answers": ("Correct Answer",),
            "index": ("lndex", "Index"),
        },
        read=choice_readers.read_mmvp,
        fields=("question", "answers", "options", "group"),
        media_names=("lndex", "Index"),
        place=lambda name, category: f"MMVP Images/{name}.jpg",
        score=_IN_FIRST_PLACE,
        summarise=scoring.grouped(scoring.overall("MMVP")),
        min_new_tokens=1,
    ),
}
