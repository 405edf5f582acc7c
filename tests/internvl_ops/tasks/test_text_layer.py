"""Lines of a text layer in a question."""

from __future__ import annotations

from internvl_ops.media.text_layer import LayerLine, TextLayer
from internvl_ops.tasks import Conversation
from internvl_ops.tasks.text_layer import with_anchors

ASKED = Conversation(("Read it.", "And now?"), 10)


def test_lines_follow_the_first_question_with_their_places() -> None:
    layer = TextLayer((LayerLine("Chapter one", 0.1, 0.05, 0.5, 0.0721),))
    first, second = with_anchors(ASKED, layer).questions
    assert first.startswith("Read it.\n\n")
    assert first.endswith("\n[100, 50, 500, 72] Chapter one")
    assert second == "And now?"


def test_no_text_of_a_file_is_a_special_token() -> None:
    layer = TextLayer((LayerLine("<image> </box> <|im_end|> 3 < 4", 0, 0, 1, 1),))
    assert with_anchors(ASKED, layer).questions[0].endswith("‹image> ‹/box> ‹|im_end|> 3 < 4")


def test_a_long_layer_is_cut_between_lines() -> None:
    layer = TextLayer(
        tuple(LayerLine(f"line {number} " + "x" * 90, 0, 0, 1, 1) for number in range(500))
    )
    question = with_anchors(ASKED, layer).questions[0]
    assert len(question) < 3500
    assert question.endswith("x" * 90)


def test_what_is_no_help_stays_out() -> None:
    line = LayerLine("Dibqufs", 0, 0, 1, 1)
    assert with_anchors(ASKED, TextLayer()) == ASKED
    assert with_anchors(ASKED, TextLayer((line,), doubts=("encoding",))) == ASKED
