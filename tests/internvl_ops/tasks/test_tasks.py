"""What each task asks of a row, and what becomes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.tasks import (
    Answered,
    Conversation,
    Dialogue,
    Task,
    ask,
    caption,
    ground,
    ocr,
    several,
)
from internvl_ops.tasks.forms import read_schema

SCHEMA = '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}'


def asked(task: Task, **row: object) -> list[tuple[str, ...]]:
    return [conversation.questions for conversation in task.converse(row)]


def refused(task: Task, **row: object) -> str:
    with pytest.raises(UnitError) as caught:
        task.converse(row)
    assert (caught.value.stage, caught.value.kind) == ("render", "bad_row")
    return caught.value.message


def parsed(
    task: Task, *responses: str, row: dict | None = None, width: int = 1000, height: int = 500
) -> dict:
    """What a row gets when its conversations end in ``responses``."""
    conversations = task.converse(row or {})
    dialogues = [
        Dialogue(conversation, [*["…"] * (len(conversation.questions) - 1), response])
        for conversation, response in zip(conversations, responses, strict=True)
    ]
    return dict(task.parse(Answered(dialogues, width, height)))


class TestCaption:
    def test_the_default_is_the_evaluations_prompt_and_length(self) -> None:
        (conversation,) = caption().converse({})
        assert conversation == Conversation(
            ("Provide a one-sentence caption for the provided image.",), 30
        )

    def test_style_language_and_media_choose_the_prompt(self) -> None:
        prompts = {
            caption(style, language, media_kind=kind).prompt
            for style in ("short", "detailed", "dense")
            for language in ("en", "zh")
            for kind in ("image", "video")
        }
        assert len(prompts) == 12

    def test_a_rows_own_question_wins(self) -> None:
        assert asked(caption(prompt="Describe."), question="What is it?") == [("What is it?",)]
        assert asked(caption(prompt="Describe."), question=" ") == [("Describe.",)]
        assert "3" in refused(caption(), question=3)


class TestOcr:
    def test_a_page_in_a_code_block_comes_out_of_it(self) -> None:
        assert (
            parsed(ocr("markdown"), "```markdown\n# Title\n\n|a|b|\n```")["text"]
            == "# Title\n\n|a|b|"
        )
        assert parsed(ocr(), " two\nlines ")["text"] == "two\nlines"

    def test_blocks_of_a_page_stand_beside_its_text(self) -> None:
        task = ocr("markdown", blocks=True)
        values = parsed(task, "# Title\n\n<table><tr><td>a")
        assert values["text"] == "# Title\n\n<table><tr><td>a"
        assert [block["type"] for block in values["blocks"]] == ["heading", "table"]
        assert values["notes"] == ["block 2: a table: it was not closed"]
        assert task.columns.names == ["text", "blocks"]
        with pytest.raises(ConfigurationError, match="blocks"):
            ocr("text", blocks=True)

    def test_json_with_blocks_needs_no_schema_and_brings_their_places(self) -> None:
        task = ocr("json", blocks=True)
        box = {"type": "title", "box": [0, 0, 500, 100], "text": "A"}
        values = parsed(task, json.dumps([box, {"type": "footer", "text": "b"}]))
        assert values["text"] == "# A\n\n<footer>b</footer>"
        assert [block["type"] for block in values["blocks"]] == ["heading", "footer"]
        assert values["blocks"][0]["box"]["x2"] > 0
        assert task.columns.names == ["text", "blocks"]
        assert "JSON list" in task.prompt
        with pytest.raises(ConfigurationError, match="Leave one out"):
            ocr("json", blocks=True, json_schema="{}")

    def test_html_has_blocks(self) -> None:
        values = parsed(ocr("html", blocks=True), "```html\n<h1>A</h1><ul><li>b</ul>\n```")
        assert values["text"] == "<h1>A</h1><ul><li>b</ul>"
        assert [(one["type"], one["text"]) for one in values["blocks"]] == [
            ("heading", "A"),
            ("list", "- b"),
        ]

    def test_lines_with_boxes(self) -> None:
        answer = (
            "<ref>Invoice</ref><box>[[0, 0, 500, 100]]</box>\n<ref>合计</ref><box>[[0, 900, 1000,"
            " 1000]]</box>"
        )
        values = parsed(ocr("boxes"), answer)
        assert values["text"] == "Invoice\n合计"
        assert [(box["label"], box["x2"], box["y2"]) for box in values["boxes"]] == [
            ("Invoice", 500, 50),
            ("合计", 1000, 500),
        ]

    def test_boxes_are_null_where_there_are_none_to_be_read(self) -> None:
        values = parsed(ocr("boxes"), "I see a cat sitting")
        assert values == {"text": "I see a cat sitting", "boxes": None}

    def test_json_has_to_follow_its_schema(self) -> None:
        task = ocr("json", json_schema=read_schema(SCHEMA))
        assert json.loads(parsed(task, ' {"total": 3} ')["json"]) == {"total": 3}
        for wrong in ('{"total": "3"}', '{"total": 3', "three"):
            with pytest.raises(UnitError) as caught:
                parsed(task, wrong)
            assert (caught.value.stage, caught.value.kind) == ("parse", "bad_answer")
            assert wrong in caught.value.message

    @pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
    def test_a_pattern_that_takes_for_ever_is_given_up(self, keyword: str) -> None:
        endless, text = "^(a|aa)+$", "a" * 60 + "b"
        if keyword == "pattern":
            schema, answer = {"properties": {"name": {"pattern": endless}}}, {"name": text}
        else:
            schema, answer = {"patternProperties": {endless: {"type": "string"}}}, {text: "x"}
        task = ocr("json", json_schema=read_schema(json.dumps(schema)))
        with pytest.raises(UnitError, match="takes too long"):
            parsed(task, json.dumps(answer))

    def test_other_patterns_count(self) -> None:
        schema = {
            "properties": {"day": {"pattern": r"^\d{4}-\d\d$"}},
            "patternProperties": {"^n_": {"type": "number"}},
        }
        task = ocr("json", json_schema=read_schema(json.dumps(schema)))
        assert parsed(task, '{"day": "2024-05", "n_a": 1, "a": "x"}')["json"]
        for wrong in ('{"day": "May"}', '{"n_a": "1"}'):
            with pytest.raises(UnitError, match="does not follow the schema"):
                parsed(task, wrong)

    def test_json_needs_a_schema(self) -> None:
        with pytest.raises(ConfigurationError, match="`json_schema`"):
            ocr("json")


class TestGround:
    def test_a_phrase_is_a_question_of_its_own(self) -> None:
        task = ground()
        assert asked(task, phrase="the cat") == [
            (
                (
                    "Please provide the bounding box coordinates of the region this sentence"
                    " describes: <ref>the cat</ref>"
                ),
            )
        ]
        assert len(asked(task, phrase=["the cat", "a {} dog"])) == 2

    def test_boxes_are_pixels_and_named_by_their_phrase(self) -> None:
        row = {"phrase": ["cat", "dogs", "bird"]}
        answers = (
            "<ref>a cat</ref><box>[[0, 0, 500, 500]]</box>",
            "<box>[[0,0,10,10],[20,20,30,30]]</box>",
            "I cannot",
        )
        values = parsed(ground(), *answers, row=row)
        assert [box["label"] for box in values["boxes"]] == ["cat", "dogs", "dogs"]
        assert (values["boxes"][0]["x2"], values["boxes"][0]["y2"]) == (500, 250)
        assert [found["num_boxes"] for found in values["found"]] == [1, 2, None]
        assert [found["response"] for found in values["found"]] == list(answers)

    def test_what_was_not_found_is_not_what_was_not_understood(self) -> None:
        row = {"phrase": "a unicorn"}
        assert parsed(ground(), "There is no such object in the image.", row=row)["boxes"] == []
        assert parsed(ground(), "A nice picture of a", row=row)["boxes"] is None

    def test_phrases_of_the_job_are_for_rows_without_their_own(self) -> None:
        assert len(asked(ground(["cat", "dog"]), phrase=None)) == 2
        assert len(asked(ground(["cat", "dog"]), phrase="bird")) == 1

    def test_nothing_to_look_for(self) -> None:
        assert "`phrases`" in refused(ground())
        assert "number 2 of 2" in refused(ground(), phrase=["cat", " "])
        with pytest.raises(ConfigurationError, match="`detect`"):
            ground(in_manifest=False)

    def test_every_object(self) -> None:
        values = parsed(
            ground(detect=True),
            "<ref>cat</ref><box>[[0,0,1,1]]</box><ref>dog</ref><box>[[5,5,9,9]]</box>",
        )
        assert [box["label"] for box in values["boxes"]] == ["cat", "dog"]

    def test_a_prompt_needs_a_place_for_the_phrase(self) -> None:
        with pytest.raises(ConfigurationError, match=r"\{\}"):
            ground(["cat"], prompt="Where is it?")


class TestAsk:
    def test_turns_and_the_last_answer(self) -> None:
        values = parsed(ask(), "because", row={"question": ["What?", "Why?"]})
        assert values["answer"] == "because"
        assert values["turns"] == [
            {"question": "What?", "answer": "…"},
            {"question": "Why?", "answer": "because"},
        ]

    @pytest.mark.parametrize(
        "options",
        [{"choices": ["yes,no"]}, {"choices": ["a", "a", " "]},
         {"choices": ["a", "b"], "json_schema": "{}"}],
    )  # fmt: skip
    def test_a_form_that_leaves_no_choice_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="choices"):
            ask(prompt="Which?", **options)

    def test_a_rows_own_choices_win(self) -> None:
        task = ask(choices=["yes", "no"])
        assert task.converse({"question": "Red?"})[0].choices == ("yes", "no")
        row = {"question": "Which?", "choices": ["A", "B", "A"]}
        for written in (
            row,
            row | {"choices": '["A", "B"]'},
            row | {"choices": "['A', 'B']"},
            row | {"choices": "('A', 'B')"},
        ):
            assert task.converse(written)[0].choices == ("A", "B")
        assert task.converse({"question": "Which?", "choices": ""})[0].choices == ("yes", "no")
        for without in (["A", None, "B"], ["A", float("nan"), "B"], '["A", null, "B"]'):
            assert task.converse({"question": "Which?", "choices": without})[0].choices == (
                "A",
                "B",
            )
        with pytest.raises(UnitError, match="none of 'A', 'B'"):
            parsed(task, "C", row=row)

    @pytest.mark.parametrize(
        "row",
        [{}, {"question": None}, {"question": []}, {"question": ["a", None]}, {"question": 7},
         {"question": "Which?", "choices": "A or B"}],
    )  # fmt: skip
    def test_rows_that_do_not_say_what_to_ask(self, row: dict) -> None:
        assert "question" in refused(ask(), **row) or "choices" in refused(ask(), **row)

    def test_the_jobs_prompt_is_for_rows_without_a_question(self) -> None:
        assert asked(ask(prompt="Is it day?"), question=None) == [("Is it day?",)]


class TestSeveral:
    def test_each_task_gets_its_own_answers(self) -> None:
        task = several([caption(), ocr(), ground()])
        row = {"phrase": ["cat", "dog"], "question": "of another task"}
        assert [questions[0] for questions in asked(task, **row)][:1] == [caption().prompt]
        box = "<box>[[0,0,9,9]]</box>"
        values = parsed(task, "A cat.", "STOP", box, "The box is 3", row=row)
        assert (values["caption"], values["text"]) == ("A cat.", "STOP")
        assert [found["num_boxes"] for found in values["found"]] == [1, None]
        assert values["ground_response"].startswith(box)
        assert set(task.columns.names) == set(values)

    def test_columns_that_meet_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="'caption'"):
            several([caption(), caption("dense")])


class TestSchema:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("no-such-file.json", "No such file"),
            ('{"type": 7}', "not a JSON schema"),
            ('{"type": ', "not JSON"),
        ],
    )
    def test_what_is_no_schema_is_said(self, given: str, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said) as caught:
            read_schema(given)
        assert "`json_schema`" in str(caught.value)

    def test_a_file(self, tmp_path) -> None:
        (tmp_path / "schema.json").write_text(SCHEMA)
        assert read_schema(str(tmp_path / "schema.json")) == read_schema(SCHEMA)
