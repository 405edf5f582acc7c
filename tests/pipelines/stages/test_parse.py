"""Answers become columns, and what is notable about them a note."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from internvl_ops.replies import Reply
from internvl_ops.tasks import TEXT, Answered, Conversation, Task, ask, ocr
from pipelines import columns as c
from pipelines.stages.parse import Parse
from pipelines.stages.wire import encode_replies
from tests.pipelines.stages.rows import manifest_rows


def reply(text: str, *, left_out: bool = False) -> Reply:
    return Reply(
        [], text, prompt_tokens=5, completion_tokens=2, finish_reason="stop", left_out=left_out
    )


def answered_rows(
    samples: Sequence[Sequence[Reply]], notes: Sequence[list[str] | None] = (None,)
) -> pa.Table:
    """A row of one question for each of ``samples``."""
    size = len(samples)
    rows = manifest_rows([f"u{number}" for number in range(size)], question=["What?"] * size)
    for name in ("width", "height"):
        rows = rows.append_column(name, pa.array([1] * size, pa.int32()))
    rows = rows.append_column("notes", pa.array(notes, pa.list_(pa.string())))
    replies = [encode_replies([[[one] for one in drawn]], TEXT) for drawn in samples]
    rows = rows.append_column(c.UNASKED, pa.array([None] * len(rows), pa.string()))
    points = pa.array([None] * len(rows), pa.list_(pa.float64()))
    rows = rows.append_column(c.PAGE_POINTS, points)
    boxes = pa.array([None] * len(rows), c.LAYER_BOXES_TYPE)
    rows = rows.append_column(c.LAYER_BOXES, boxes)
    return rows.append_column(c.REPLIES, pa.array(replies, TEXT.replies_type))


def parsed(*answers: Reply, notes: list[list[str] | None]) -> pa.Table:
    rows, task = answered_rows([[one] for one in answers], notes), ask()
    return Parse(None, task, task.outcome.columns(task.columns), trust_remote_code=False)(rows)


def test_thoughts_are_noted_and_stay_in_the_text() -> None:
    thinking = "<think>It has ears.</think>A cat."
    rows = parsed(
        reply("A dog."),
        reply(thinking),
        reply("A cow.", left_out=True),
        notes=[None, ["first frame of 3"], []],
    )
    assert rows["response"].to_pylist() == ["A dog.", thinking, "A cow."]
    assert rows[c.ERROR].null_count == 3
    plain, held, left_out = rows["notes"].to_pylist()
    assert plain == []
    assert held == ["first frame of 3", "the answer holds thoughts: <think>…</think>"]
    assert left_out == ["thoughts before the answer are left out"]


def test_blocks_without_a_box_find_their_places_in_the_text_layer() -> None:
    answer = "# On dogs\n\n| dog | age |\n|---|---|\n| Rex | 7 |\n\nWords that the layer lacks."
    rows = answered_rows([[reply(answer)]])
    given = {
        "width": pa.array([200], pa.int32()),
        "height": pa.array([100], pa.int32()),
        c.PAGE_POINTS: pa.array([[400.0, 200.0]], pa.list_(pa.float64())),
        c.LAYER_BOXES: pa.array(
            [[[0.1, 0.1, 0.5, 0.2], [0, 0.5, 0.5, 0.6], [0, 0.625, 1.5, 0.75]]], c.LAYER_BOXES_TYPE
        ),
    }
    for name, column in given.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    rows = rows.append_column("text_layer", pa.array(["On dogs\ndog age\nRex 7"]))
    rows = rows.append_column("text_layer_doubts", pa.array([[]], pa.list_(pa.string())))
    task = ocr("markdown", blocks=True)
    columns = task.outcome.columns(task.columns)
    parse = Parse(None, task, columns, trust_remote_code=False, compares=True)
    (blocks,) = parse(rows)["blocks"].to_pylist()
    assert [(block["type"], block["box"]) for block in blocks] == [
        ("heading", {"x1": 20, "y1": 10, "x2": 100, "y2": 20}),
        ("table", {"x1": 0, "y1": 50, "x2": 200, "y2": 75}),  # its layer reaches out of the page
        ("paragraph", None),
    ]
    assert blocks[1]["box_points"] == {"x1": 0, "y1": 100, "x2": 400, "y2": 150}


class TestSeveralSamples:
    """The first sample is a unit's answer; the others stand beside it."""

    def parsed(self, *texts: str) -> dict:
        def parse(answered: Answered) -> dict[str, object]:
            return {"score": int(answered.response)}

        schema = pa.schema([("score", pa.int32())])
        task = Task("score", "?", schema, lambda _: [Conversation(("?",), 4)], parse, 4)
        rows = answered_rows([[reply(text) for text in texts]])
        columns = task.outcome.columns(task.columns, samples=len(texts))
        return Parse(None, task, columns, trust_remote_code=False)(rows).to_pylist()[0]

    def test_a_second_one_that_fails_to_parse_has_its_text_alone(self) -> None:
        row = self.parsed("7", "many", "9")
        assert row[c.ERROR] is None
        assert (row["response"], row["score"]) == ("7", 7)
        assert [(one["response"], one["score"]) for one in row["samples"]] == [
            ("7", 7),
            ("many", None),
            ("9", 9),
        ]
        assert row["completion_tokens"] == 6
        assert row["prompt_tokens"] == 5

    def test_a_first_one_that_fails_to_parse_is_the_error_of_the_row(self) -> None:
        row = self.parsed("many", "7")
        assert row[c.ERROR]["kind"] == "bad_answer"
        assert row["samples"] is None


def test_a_blank_page_has_an_empty_answer_that_no_model_gave() -> None:
    rows = answered_rows([[reply("A dog.")]], [["rendered at 72 dpi"]])
    rows = rows.set_column(rows.schema.get_field_index(c.UNASKED), c.UNASKED, pa.array(["blank"]))
    rows = rows.set_column(
        rows.schema.get_field_index(c.REPLIES), c.REPLIES, pa.nulls(1, TEXT.replies_type)
    )
    for form, own in (
        ("text", {"text": ""}),
        ("boxes", {"text": "", "boxes": []}),
        ("json", {"json": None}),
    ):
        task = ocr(form, json_schema="{}" if form == "json" else None)
        (row,) = Parse(None, task, TEXT.columns(task.columns), False)(rows).to_pylist()
        assert row[c.ERROR] is None
        assert {name: row[name] for name in own} == own
        assert (row["response"], row["finish_reason"], row["completion_tokens"]) == ("", "blank", 0)
        assert row["notes"] == ["rendered at 72 dpi"]
