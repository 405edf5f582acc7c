"""Subtitles of a video in its prompt: those on the screen at the frames that are shown."""

from __future__ import annotations

import pytest

from internvl_ops.evaluation import BENCHMARKS
from internvl_ops.evaluation.subtitles import as_text
from internvl_ops.evaluation.task import evaluate
from internvl_ops.tasks.base import with_subtitles

SRT = """1
00:00:01,000 --> 00:00:03,000
Good morning,
everyone.

2
00:00:02,500 --> 00:00:04,000
<font color="white">Hello!</font>

3
00:00:05,000 --> 00:00:06,000
<i>Bye.</i>
"""


def shown(*times: float, file: str = SRT) -> str:
    """What a prompt with subtitles says of them."""
    task = evaluate(BENCHMARKS["videomme"].with_subtitles(), num_frames=len(times))
    [asked] = task.converse(
        {"question": "Who? {subtitles}\nA. x", "subtitles": as_text(file.encode("utf-8-sig"))}
    )
    prompt = with_subtitles(asked, times).questions[0]
    before, after = (
        "These are the frames of a video. This video's subtitles are listed below:\n",
        "\nSelect the best ",
    )
    assert prompt.endswith("Question: Who? {subtitles}\nA. x \nAnswer with the option's letter "
                           "from the given choices directly.")  # fmt: skip
    return prompt.partition(before)[2].partition(after)[0]


@pytest.mark.parametrize(
    ("times", "lines"),
    [
        ((0.5, 2.0), ["Good morning, everyone."]),
        # the first that is there
        ((1.5, 2.7, 3.5), ["Good morning, everyone.", "Good morning, everyone.", "Hello!"]),
        ((1.0, 3.0, 4.0), ["Hello!"]),  # the moment in which one begins or ends is not within it
        ((5.5,), ["{\\i1}Bye.{\\i0}"]),
        ((4.5, 10.0), []),
    ],
)
def test_the_first_subtitle_on_the_screen_at_each_frame(
    times: tuple[float, ...], lines: list[str]
) -> None:
    assert shown(*times) == "\n".join(lines)


def test_a_video_without_subtitles_has_an_empty_list() -> None:
    assert shown(1.5, file="") == ""


def test_only_the_variant_with_subtitles_speaks_of_them() -> None:
    [asked] = evaluate(BENCHMARKS["videomme"]).converse(
        {"question": "Who?", "subtitles": as_text(SRT.encode())}
    )
    assert "subtitles" not in asked.questions[0]
    assert with_subtitles(asked, [2.0]) is asked


@pytest.mark.parametrize("file", [b"\xff\xfe1\x00", b"\x00\xff\xd8"])
def test_what_is_no_subtitle_file_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="no SRT file in UTF-8"):
        as_text(file)
