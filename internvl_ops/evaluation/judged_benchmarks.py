"""The benchmarks that need a judge model."""

from __future__ import annotations

from internvl_ops.evaluation import choice_readers, judging, scoring
from internvl_ops.evaluation.benchmark import Benchmark

JUDGED_BENCHMARKS: dict[str, Benchmark] = {
    "mmvet": Benchmark(
        title="MMVet",
        metric="mean rating by a judge",
        prompt="{}",
        needs={"question": ("question",), "answers": ("answer",)},
        may_have={"category": ("category", "capability")},
        read=choice_readers.read_mmvet,
        fields=("question", "answers", "category"),
        score=judging.rated,
        summarise=judging.abilities,
        max_new_tokens=1024,
        judge=judging.MMVET_RULE,
    ),
    "mathvista": Benchmark(
        title="MathVista testmini",
        metric="accuracy, answers read by a judge",
        prompt="{}",
        needs={"question": ("query", "question"), "answers": ("answer",), "kind": ("answer_type",)},
        may_have={
            "choices": ("choices",),
            "option": ("answer_option",),
            "question_type": ("question_type",),
            "category": ("task",),
        },
        read=choice_readers.read_mathvista,
        fields=("question", "answers", "options", "category", "group"),
        media_names=("decoded_image", "image"),
        score=judging.extracted,
        summarise=scoring.overall("MathVista testmini"),
        max_new_tokens=1024,
        judge=judging.MATHVISTA_RULE,
    ),
}
