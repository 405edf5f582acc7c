"""What the benchmarks ask and how: the settings that the published figures were measured with."""

from __future__ import annotations

import pytest

from internvl_ops.engines.base import Sampling
from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS
from internvl_ops.evaluation.releases import release_of
from internvl_ops.evaluation.task import evaluate
from internvl_ops.media.sampling import step_indices
from internvl_ops.preparer import conversation_sampling
from internvl_ops.tasks import Conversation
from pipelines.options.benchmark_options import EvaluateJobOptions as Options
from pipelines.options.command_line import build_options
from pipelines.wiring.media import decode_options

SHORT = "What? Answer the question using a single word or phrase."


def asked(name: str, question: str = "What?", **options: int) -> str:
    [conversation] = evaluate(BENCHMARKS[name], **options).converse({"question": question})
    return conversation.questions[0]


@pytest.mark.parametrize(
    ("name", "prompt", "tiles", "tokens"),
    [
        ("docvqa", SHORT, 18, 100),
        ("infovqa", SHORT, 24, 100),
        ("chartqa", SHORT, 12, 100),
        ("textvqa", SHORT, 6, 10),
        ("mme", SHORT, 6, 20),
        ("ocrbench", "What?\nAnswer the question using a single word or phrase.", 24, 1024),
        ("mmbench", "What?\nAnswer with the option's letter from the given choices directly.", 6,
         100),
        ("refcoco", "Please provide the bounding box coordinate of the region this sentence "
         "describes: <ref>What?</ref>", 6, 100),
    ],
)  # fmt: skip
def test_images_are_asked_as_the_published_figures_were(
    name: str, prompt: str, tiles: int, tokens: int
) -> None:
    assert asked(name) == prompt
    assert (BENCHMARKS[name].max_tiles, BENCHMARKS[name].max_new_tokens) == (tiles, tokens)


@pytest.mark.parametrize(
    ("name", "shortest"),
    [
        ("captions", 8),
        *((name, 1) for name in ("refcoco", "docvqa", "infovqa", "chartqa", "textvqa", "vizwiz")),
        *((name, 1) for name in ("mmbench", "mmbench_cn", "mvbench")),
        *((name, 0) for name in ("mme", "ocrbench", "videomme", "exact_match", "ocr")),
    ],
)
def test_an_answer_is_as_long_as_the_published_script_makes_it(name: str, shortest: int) -> None:
    [conversation] = evaluate(BENCHMARKS[name]).converse({"question": "What?"})
    assert conversation_sampling(conversation, Sampling(), {}).min_new_tokens == shortest


@pytest.mark.parametrize(("given", "row"), [(5, {}), (None, {"max_new_tokens": 5})])
def test_a_limit_below_the_least_length_wins(given: int | None, row: dict[str, int]) -> None:
    [conversation] = evaluate(BENCHMARKS["captions"], max_new_tokens=given).converse({})
    how = conversation_sampling(conversation, Sampling(), row)
    assert (how.min_new_tokens, how.max_new_tokens) == (5, 5)


@pytest.mark.parametrize(
    ("job", "row", "own", "form", "shortest"),
    [
        (0, {}, 8, False, 8),
        (20, {}, 8, False, 20),
        (4, {}, 8, False, 8),
        (0, {"min_new_tokens": 12}, 0, False, 12),
        (50, {}, 0, False, 30),  # the longest answer has 30
        (20, {}, 0, True, 0),  # JSON and choices end by themselves
    ],
)
def test_the_longest_of_the_least_lengths_counts(
    job: int, row: dict, own: int, form: bool, shortest: int
) -> None:
    asked = Conversation(("What?",), 30, min_new_tokens=own, choices=("yes", "no") if form else ())
    assert (
        conversation_sampling(asked, Sampling(min_new_tokens=job), row).min_new_tokens == shortest
    )


def test_video_mme_is_asked_as_vlmevalkit_does() -> None:
    assert (
        asked("videomme", "Who?\nA. x\nB. y", num_frames=2)
        == "Frame-1: <image>\nFrame-2: <image>\n\nThese are the frames of a video. Select the best"
        " answer to the following multiple-choice question based on the video. Respond with only"
        " the letter (A, B, C, or D) of the correct option.\nQuestion: Who?\nA. x\nB. y \nAnswer"
        " with the option's letter from the given choices directly."
    )


@pytest.mark.parametrize(
    ("video", "wanted", "frames"),
    [
        (334, 16, [19, 39, 58, 78, 98, 117, 137, 157, 176, 196, 216, 235, 255, 275, 294, 314]),
        (17, 16, list(range(1, 17))),
        (3, 4, [0, 1, 1, 2]),
        (1, 2, [0, 0]),
    ],
)
def test_frames_at_whole_steps(video: int, wanted: int, frames: list[int]) -> None:
    assert step_indices(video, wanted) == frames


def test_no_frames_or_no_video_is_refused() -> None:
    with pytest.raises(ValueError, match="both must be at least 1"):
        step_indices(0, 16)


@pytest.mark.parametrize(
    ("model", "name", "tiles"),
    [
        ("OpenGVLab/InternVL-Chat-V1-5", "mme", 12),
        ("OpenGVLab/InternVL-Chat-V1-5", "textvqa", 24),
        ("/models/internvl-chat-v1-5/", "mme", 12),
        ("OpenGVLab/Mini-InternVL-Chat-2B-V1-5", "mme", 6),
        ("OpenGVLab/InternVL2-1B", "textvqa", 6),
        ("OpenGVLab/InternVL-Chat-V1-5", "docvqa", 18),
        ("OpenGVLab/InternVL-Chat-V1-5-Int8", "mme", 12),
        ("/hub/models--OpenGVLab--InternVL-Chat-V1-5/snapshots/0f1e2d3c", "mme", 12),
    ],
)
def test_a_release_is_measured_with_its_own_tiles(model: str, name: str, tiles: int) -> None:
    options = {"benchmark": name, "input": "in", "output": "out", "model": model}
    assert build_options(Options, options).max_tiles == tiles
    assert build_options(Options, {**options, "max-tiles": 3}).max_tiles == 3


@pytest.mark.parametrize(
    ("model", "release"),
    [
        ("OpenGVLab/InternVL-Chat-V1-5-AWQ", "V1.5"),
        ("OpenGVLab/Mini-InternVL-Chat-4B-V1-5", "Mini-V1.5"),
        ("OpenGVLab/InternVL2-8B-MPO", "InternVL2"),
        ("OpenGVLab/InternVL2-Llama3-76B", "InternVL2"),
        ("/models/InternVL2_5-8B/", "InternVL2.5"),
        ("models/internvl2.5-finetuned", "InternVL2.5"),
        ("OpenGVLab/InternVL3-1B-hf", "InternVL3"),
        ("OpenGVLab/InternVL3_5-8B-Instruct", "InternVL3.5"),
        ("/data/InternVL3_5/InternVL2-1B", "InternVL2"),
        ("my-own", "InternVL2"),
    ],
)
def test_the_release_is_the_one_that_the_model_names(model: str, release: str) -> None:
    assert release_of(model) == release
    options = {"benchmark": "mme", "input": "in", "output": "out", "model": model}
    assert build_options(Options, options).release == release


def test_a_release_can_be_named_and_brings_its_settings() -> None:
    options = {
        "benchmark": "mme",
        "input": "in",
        "output": "out",
        "model": "/models/mine",
        "release": "V1.5",
    }
    assert build_options(Options, options).max_tiles == 12
    with pytest.raises(
        ConfigurationError, match=r"--release 1\.5: must be 'V1\.5', 'Mini-V1\.5', 'InternVL2'"
    ):
        build_options(Options, {**options, "release": "1.5"})


@pytest.mark.parametrize(
    ("release", "no_letter"), [("Mini-V1.5", "skip"), ("InternVL2", "skip"), ("InternVL3", "text")]
)
def test_an_answer_without_a_letter_counts_as_in_the_release(release: str, no_letter: str) -> None:
    options = {
        "benchmark": "videomme",
        "input": "in",
        "output": "out",
        "model": "model",
        "release": release,
    }
    assert build_options(Options, options).no_letter == no_letter
    assert build_options(Options, {**options, "no-letter": "wrong"}).no_letter == "wrong"


@pytest.mark.parametrize(
    ("name", "exif"), [("vizwiz", "ignore"), ("mvbench", "ignore"), ("ocr", "apply")]
)
def test_orientation_is_ignored_where_figures_are_published(name: str, exif: str) -> None:
    options = {"benchmark": name, "input": "in", "output": "out", "model": "model"}
    kind = BENCHMARKS[name].media
    read = decode_options(build_options(Options, options), kind)
    assert (read.image.exif, read.video.exif) == (exif, exif)
    read = decode_options(build_options(Options, {**options, "exif": "apply"}), kind)
    assert (read.image.exif, read.video.exif) == ("apply", "apply")


def test_video_mme_takes_its_own_frames_unless_others_are_given() -> None:
    options = {"benchmark": "videomme", "input": "in", "output": "out", "model": "model"}
    assert (
        build_options(Options, options).num_frames,
        build_options(Options, options).frame_rule,
    ) == (16, "steps")
    assert build_options(Options, {**options, "frame-rule": "cards"}).frame_rule == "cards"
    assert build_options(Options, {**options, "benchmark": "mvbench"}).frame_rule == "cards"


def test_a_prompt_without_a_place_for_the_question_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="where each question of OCRBench goes"):
        evaluate(BENCHMARKS["ocrbench"], prompt="What is this?")


def test_mmmu_enlarges_its_first_image_and_gives_each_image_its_tiles() -> None:
    options = {"benchmark": "mmmu", "input": "in", "output": "out", "model": "model"}
    read = decode_options(build_options(Options, options), "image")
    assert (read.image.enlarge, read.image.max_tiles, read.tile_share) == (2, 12, "evaluation")
    read = decode_options(
        build_options(Options, {**options, "enlarge": 1, "tile-share": "training"}), "image"
    )
    assert (read.image.enlarge, read.tile_share) == (1, "training")
    read = decode_options(build_options(Options, {**options, "benchmark": "docvqa"}), "image")
    assert (read.image.enlarge, read.tile_share) == (1, "training")
