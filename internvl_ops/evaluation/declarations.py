"""The benchmarks. Prompts, tiles and token limits come from InternVL's own evaluation, or from
VLMEvalKit's where the family's figures were measured with it: OCRBench, RealWorldQA, MMMU,
HallusionBench and Video-MME. Releases with other settings declare them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from internvl_ops.evaluation import mvbench, readers, scoring
from internvl_ops.evaluation.benchmark import Benchmark
from internvl_ops.evaluation.choice_benchmarks import CHOICE_BENCHMARKS
from internvl_ops.evaluation.judged_benchmarks import JUDGED_BENCHMARKS
from internvl_ops.evaluation.page_benchmarks import PAGE_BENCHMARKS
from internvl_ops.evaluation.releases import since
from internvl_ops.evaluation.yes_no_benchmarks import YES_NO_BENCHMARKS
from internvl_ops.metrics import (
    anls,
    exact_match,
    gqa_match,
    ocrbench_hit,
    relaxed_accuracy,
    vqa_accuracy,
)
from internvl_ops.tasks.caption import CAPTION_PROMPTS
from internvl_ops.tasks.ocr import OCR_PROMPTS as OCR_PROMPTS

Name = Literal["refcoco", "docvqa", "infovqa", "chartqa", "textvqa", "vizwiz", "vqav2", "okvqa",
               "gqa", "ocrbench", "mme", "mmbench", "mmbench_cn", "ccbench", "ai2d", "seed",
               "realworldqa", "mmmu", "scienceqa", "mmvp", "pope", "hallusionbench", "mmvet",
               "mathvista", "mmbench_video", "mvbench", "videomme", "captions", "exact_match",
               "ocr", "olmocr_bench", "omnidocbench"]  # fmt: skip

SHORT = "{} Answer the question using a single word or phrase."
GROUND = (
    "Please provide the bounding box coordinate of the region this sentence describes:"
    " <ref>{}</ref>"
)
VIDEO_MME = (
    "\nThese are the frames of a video. {subtitles}Select the best answer to the following"
    " multiple-choice question based on the video. Respond with only the letter (A, B, C, or D) of"
    " the correct option.\nQuestion: {} \nAnswer with the option's letter from the given choices"
    " directly."
)
QUESTION_COLUMNS = ("question", "query")
ANSWERS = ("answers", "answer", "label", "annotation")
_ASKED = {"question": QUESTION_COLUMNS, "answers": ANSWERS}
REFCOCO_SPLITS = ("refcoco_val", "refcoco_testA", "refcoco_testB", "refcoco+_val", "refcoco+_testA",
                  "refcoco+_testB", "refcocog_val", "refcocog_test")  # fmt: skip


def _vqa(title: str, splits: tuple[str, ...], **others: Any) -> Benchmark:
    """Questions with the answers of ten people."""
    settings: dict[str, Any] = {
        "metric": "VQA accuracy",
        "prompt": SHORT,
        "needs": _ASKED,
        "read": readers.read_vqa,
        "score": scoring.by_answers(vqa_accuracy),
        "summarise": scoring.means(title),
        "max_new_tokens": 10,
        "min_new_tokens": 1,
    }
    return Benchmark(title=title, splits=splits, **(settings | others))


BENCHMARKS: dict[str, Benchmark] = {
    "refcoco": Benchmark(
        title="RefCOCO",
        metric="precision at an IoU of 0.5",
        prompt=GROUND,
        needs={"question": ("sent", "sentence", "phrase"), "box": ("bbox",)},
        read=readers.read_box,
        fields=("question", "box"),
        score=scoring.found,
        summarise=scoring.mean_of_means("RefCOCO", REFCOCO_SPLITS, "avg."),
        splits=REFCOCO_SPLITS,
        min_new_tokens=1,
    ),
    "docvqa": Benchmark(
        title="DocVQA",
        metric="ANLS",
        prompt=SHORT,
        needs=_ASKED,
        read=readers.read_question,
        score=scoring.by_answers(anls),
        summarise=scoring.means("DocVQA"),
        splits=("val",),
        max_tiles=18,
        min_new_tokens=1,
    ),
    "infovqa": Benchmark(
        title="InfoVQA",
        metric="ANLS",
        prompt=SHORT,
        needs=_ASKED,
        read=readers.read_question,
        score=scoring.by_answers(anls),
        summarise=scoring.means("InfoVQA"),
        splits=("val",),
        max_tiles=24,
        min_new_tokens=1,
    ),
    "chartqa": Benchmark(
        title="ChartQA",
        metric="relaxed accuracy",
        prompt=SHORT,
        needs=_ASKED,
        may_have={"kind": ("type", "human_or_machine")},
        read=readers.read_chart,
        score=scoring.by_answers(relaxed_accuracy),
        summarise=scoring.mean_of_means("ChartQA", ("human", "augmented"), "ChartQA avg."),
        splits=("test_human", "test_augmented", "test"),
        max_tiles=12,
        min_new_tokens=1,
    ),
    "textvqa": _vqa("TextVQA", ("val",), releases={"V1.5": {"max_tiles": 24}}),
    "vizwiz": _vqa(
        "VizWiz",
        ("val",),
        prompt=(
            "{} When the provided information is insufficient, respond with 'Unanswerable'. Answer"
            " the question using a single word or phrase."
        ),
    ),
    "vqav2": _vqa("VQAv2", ("val", "testdev")),
    "okvqa": _vqa("OKVQA", ("val",)),
    "gqa": Benchmark(
        title="GQA",
        metric="accuracy",
        prompt=SHORT,
        needs=_ASKED,
        read=readers.read_question,
        score=scoring.by_answers(gqa_match),
        summarise=scoring.means("GQA"),
        splits=("testdev",),
        max_new_tokens=10,
        min_new_tokens=1,
    ),
    "ocrbench": Benchmark(
        title="OCRBench",
        metric="right answers of 1,000",
        prompt="{}\nAnswer the question using a single word or phrase.",
        needs=_ASKED | {"category": ("question_type", "category")},
        read=readers.read_ocrbench,
        fields=("question", "answers", "category"),
        score=scoring.each(
            lambda sample: ocrbench_hit(sample.response, sample.answers, sample.category)
        ),
        summarise=scoring.ocrbench,
        max_tiles=24,
        max_new_tokens=1024,
    ),
    "mme": Benchmark(
        title="MME",
        metric="accuracy and accuracy+, added up",
        prompt=SHORT,
        needs=_ASKED
        | {
            "category": ("category",),
            "image_id": ("question_id", "image_path", "image_name"),
        },
        read=readers.read_mme,
        fields=("question", "answers", "category", "group"),
        score=scoring.yes_no,
        summarise=scoring.mme,
        max_new_tokens=20,
        releases={"V1.5": {"max_tiles": 12}},
    ),
    **CHOICE_BENCHMARKS,
    **YES_NO_BENCHMARKS,
    **JUDGED_BENCHMARKS,
    "mvbench": Benchmark(
        title="MVBench",
        metric="accuracy",
        prompt=(
            "Carefully watch the video and pay attention to the cause and sequence of events, the"
            " detail and movement of objects, and the action and pose of persons. Based on your"
            " observations, select the best option that accurately addresses the"
            " question.\n\n{}\nOnly give the best option."
        ),
        needs={"question": ("question",), "answers": ("answer",), "options": ("candidates",)},
        may_have={"category": ("task_type",), "start": ("start",), "end": ("end",)},
        read=readers.read_mvbench,
        fields=("question", "answers", "options", "category", "start", "end"),
        folders=mvbench.FOLDERS,
        place=mvbench.video_path,
        score=scoring.first_word,
        summarise=scoring.overall("MVBench"),
        splits=tuple(mvbench.MVBENCH_TASKS),
        media="video",
        max_tiles=1,
        max_new_tokens=1000,
        num_frames=16,
        min_new_tokens=1,
    ),
    "videomme": Benchmark(
        title="Video-MME w/o subs",
        metric="accuracy",
        prompt=VIDEO_MME.replace("{subtitles}", ""),
        needs={"question": ("question",), "answers": ("answer",), "options": ("options",)},
        may_have={"category": ("duration",)},
        read=readers.read_video_mme,
        fields=("question", "answers", "options", "category"),
        score=scoring.letter_of_four,
        summarise=scoring.overall("Video-MME w/o subs"),
        media="video",
        video_suffix=".mp4",
        max_tiles=1,
        max_new_tokens=1024,
        num_frames=16,
        frame_rule="steps",
        frame_labels="training",
        subtitles={
            "title": "Video-MME w subs",
            "prompt": VIDEO_MME.replace(
                "{subtitles}", "This video's subtitles are listed below:\n{subtitles}\n"
            ),
            "summarise": scoring.overall("Video-MME w subs"),
        },
        no_letter="skip",
        scores={
            "skip": scoring.letters_found,
            "text": scoring.letter_or_text,
            "wrong": scoring.letter_of_four,
        },
        releases={release: {"no_letter": "text"} for release in since("InternVL2.5")},
    ),
    "captions": Benchmark(
        title="Captions (COCO, Flickr30k, NoCaps)",
        metric="CIDEr, BLEU, ROUGE-L",
        prompt=CAPTION_PROMPTS["image", "short", "en"],
        needs={"answers": ("answers", "captions", "caption", "answer", "annotations_captions")},
        read=readers.read_caption,
        fields=("answers",),
        score=scoring.caption_scores,
        summarise=scoring.captions,
        max_new_tokens=30,
        min_new_tokens=8,
    ),
    "exact_match": Benchmark(
        title="Exact match",
        metric="equal but for case",
        prompt=SHORT,
        needs=_ASKED,
        read=readers.read_question,
        score=scoring.by_answers(exact_match),
        summarise=scoring.means("Exact match"),
        max_tiles=12,
    ),
    "ocr": Benchmark(
        title="Text recognition",
        metric="character and word error rate, TEDS of tables",
        prompt=OCR_PROMPTS["text", "en"],
        needs={"answers": ("text", "answers", "answer")},
        read=readers.read_caption,
        fields=("answers",),
        score=scoring.character_error_rates,
        summarise=scoring.error_rates,
        truths=(".gt.txt", ".txt", ".md", ".html"),
        max_tiles=24,
        max_new_tokens=1536,
        exif="apply",  # there are no published figures to compare with
    ),
    **PAGE_BENCHMARKS,
}
assert tuple(BENCHMARKS) == get_args(Name)
