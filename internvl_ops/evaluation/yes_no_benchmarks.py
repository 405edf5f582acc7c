"""The benchmarks whose answers are yes or no, but for MME."""

from __future__ import annotations

from internvl_ops.evaluation import choice_readers, yes_no_scoring
from internvl_ops.evaluation.benchmark import Benchmark
from internvl_ops.evaluation.choice_readers import SHORT
from internvl_ops.evaluation.releases import since

YES_NO_BENCHMARKS: dict[str, Benchmark] = {
    "pope": Benchmark(
        title="POPE",
        metric="F1, the mean of the categories",
        prompt=f"{{}}\n{SHORT} ",  # the script joins an empty text to the question by a space
        needs={"question": ("text", "question"), "answers": ("label", "answer")},
        may_have={"category": ("category",)},
        read=choice_readers.read_pope,
        fields=("question", "answers", "category"),
        score=yes_no_scoring.pope,
        summarise=yes_no_scoring.f1,
        splits=("random", "popular", "adversarial"),
        min_new_tokens=1,
        releases={release: {"prompt": f"{{}}\n{SHORT}"} for release in since("InternVL2.5")},
    ),
    "hallusionbench": Benchmark(
        title="HallusionBench",
        metric="mean of aAcc, fAcc and qAcc",
        prompt=f"{{}} Please answer yes or no. {SHORT}",
        needs={"question": ("question",), "answers": ("answer", "gt_answer")},
        may_have={
            "category": ("category",),
            "kind": ("l2-category", "subcategory"),
            "index": ("index",),
            "set": ("set_id",),
            "figure": ("figure_id",),
            "number": ("question_id",),
        },
        read=choice_readers.read_hallusion,
        fields=("question", "answers", "category", "group"),
        score=yes_no_scoring.said,
        summarise=yes_no_scoring.hallusion,
        max_new_tokens=1024,
    ),
}
