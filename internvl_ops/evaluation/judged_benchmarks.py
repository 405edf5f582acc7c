"""The benchmarks that need a judge model."""

from __future__ import annotations

from internvl_ops.evaluation import choice_readers, judging, scoring
from internvl_ops.evaluation.benchmark import Benchmark

_FRAMES = (
    "\nYou will be provided with {frames} separate frames uniformly sampled from a video, the"
    " frames are provided in chronological order of the video.\nPlease analyze these images and"
    " provide the answer to the question about the video content.\nPlease directly reply with your"
    " response to the only question.\nQuestion: {} "
)

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
    "mmbench_video": Benchmark(
        title="MMBench-Video",
        metric="mean rating by a judge, 0 to 3",
        prompt=_FRAMES,
        needs={"question": ("question",), "answers": ("answer",)},
        may_have={"category": ("dimensions",)},
        read=choice_readers.read_mmbench_video,
        fields=("question", "answers", "category"),
        score=judging.similar,
        summarise=judging.dimensions,
        media="video",
        video_suffix=".mp4",
        max_tiles=1,
        max_new_tokens=1024,
        num_frames=16,
        frame_rule="steps",
        frame_labels="training",
        judge=judging.MMBENCH_VIDEO_RULE,
    ),
}
