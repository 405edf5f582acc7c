"""A preview in Python: text, boxes and a picture, shown in a notebook without any markup of the
model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

import internvl_batch
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.tasks import caption, ground
from internvl_ops.tasks.boxes import Box
from pipelines.commands.preview import PreviewOptions
from pipelines.library.collecting import Collecting
from pipelines.library.previews import Answer, Answers
from tests.pipelines.commands.test_preview import NANO, TalkingStandIn


class BoxingStandIn(TalkingStandIn):
    """Finds a box."""

    said = "<ref>dog</ref><box>[[100, 200, 500, 600]]</box>"


def collected(tmp_path: Path, task: internvl_batch.Task, engine: type = TalkingStandIn) -> Answers:
    picture, broken = tmp_path / "wide.png", tmp_path / "broken.png"
    Image.new("RGB", (900, 300), (200, 30, 30)).save(picture)
    broken.write_bytes(b"no image")
    options = PreviewOptions.model_validate(
        {"model": NANO, "inputs": [str(picture), str(broken)], "max_tiles": 3}
    )
    collecting = Collecting(options, load_checkpoint(NANO), {"image": task}, engine)
    asyncio.run(collecting.run())
    return Answers(tuple(collecting.answers))


def test_each_input_has_an_answer_or_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = collected(tmp_path, caption())
    assert len(answers) == 2
    assert (answers.text, answers.error) == ("4 tiles, seed 0", None)
    assert answers.values == {"caption": "4 tiles, seed 0"}
    assert answers.picture.size == (900, 300)
    assert "broken.png" in answers[1].error
    assert answers[1].picture is None
    assert capsys.readouterr().out == ""


def test_boxes_are_of_the_upright_original(tmp_path: Path) -> None:
    answers = collected(tmp_path, ground(["dog"]), BoxingStandIn)
    assert answers.boxes == (Box("dog", 90, 60, 450, 180),)


def test_a_notebook_shows_text_as_text() -> None:
    hostile = "<script>alert(1)</script>"
    answers = Answers(
        (
            Answer(hostile, text=hostile, boxes=(Box(hostile, 0, 0, 1, 1),)),
            Answer("x", error=hostile),
        )
    )
    shown = answers._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 4


def test_a_notebook_shows_the_picture(tmp_path: Path) -> None:
    assert 'src="data:image/png;base64,' in collected(tmp_path, caption())._repr_html_()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_tils": 3}, "Did you mean max_tiles?"),
        ({"task": "capton"}, "Did you mean caption?"),
        ({"phrase": "a dog"}, "phrase"),
        ({"inputs": "no-such-file.png"}, "no-such-file.png: no such file"),
    ],
)
def test_what_is_wrong_is_said_in_keywords(given: dict[str, object], said: str) -> None:
    call = {"inputs": __file__, "question": "What is this?", "model": NANO, **given}
    with pytest.raises(internvl_batch.ConfigurationError) as error:
        internvl_batch.preview(**call)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert "--" not in str(error.value)
