"""Thoughts come into a column of their own: no answer, letter or box is read from them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.quality.thoughts import UNFINISHED, split_thoughts
from internvl_ops.replies import Reply
from internvl_ops.tasks import ask, caption, ground
from internvl_ops.tasks.base import Task
from internvl_ops.tasks.thinking import MAX_NEW_TOKENS, leaves_room, thinking

WORDS = st.text("ab \n(C)", max_size=12)


def result(task: Task, row: dict[str, Any], *samples: str) -> dict[str, Any]:
    """What a unit's result holds if the model gave these answers, one a sample."""
    conversations = task.converse(row)
    replies = [[[Reply([], text, 9, 5, "stop")] for text in samples] for _ in conversations]
    return task.outcome.result(task.parse, conversations, replies, (100, 100), str)


@given(thought=WORDS, answer=WORDS, opened=st.booleans())
def test_thought_and_answer_come_apart(thought: str, answer: str, opened: bool) -> None:
    text = ("<think>" if opened else "") + thought + "</think>\n" + answer
    assert split_thoughts(text) == (thought.strip(), answer.strip("\n"), True)


@given(text=WORDS)
def test_an_answer_without_thoughts_is_itself(text: str) -> None:
    assert split_thoughts(text) == ("", text, True)


def test_a_caption_is_what_follows_the_thought() -> None:
    found = result(
        thinking(caption("short"), max_new_tokens=None), {}, "<think>A cat? No.</think>\nA dog."
    )
    assert (found["caption"], found["response"], found["thought"]) == (
        "A dog.",
        "A dog.",
        "A cat? No.",
    )
    assert found["notes"] == []


def test_boxes_of_a_thought_do_not_count() -> None:
    task = thinking(ground(), max_new_tokens=None)
    thought = "<think><ref>dog</ref><box>[[1, 1, 2, 2]]</box>?</think>"
    found = result(
        task, {"phrase": "dog"}, f"{thought}<ref>dog</ref><box>[[100, 200, 300, 400]]</box>"
    )
    assert [(box["x1"], box["y1"]) for box in found["boxes"]] == [(10, 20)]


def test_a_thought_that_does_not_end_is_no_answer_and_is_said() -> None:
    found = result(
        thinking(caption("short"), max_new_tokens=None), {}, "<think>Perhaps a dog, or perhaps"
    )
    assert (found["caption"], found["thought"]) == ("", "Perhaps a dog, or perhaps")
    assert found["notes"] == [UNFINISHED]


def test_the_thought_of_several_samples_is_that_of_the_first() -> None:
    found = result(
        thinking(caption("short"), max_new_tokens=None),
        {},
        "<think>a</think>x",
        "<think>b</think>y",
    )
    assert found["thought"] == "a"
    assert [sample["response"] for sample in found["samples"]] == ["x", "y"]


@pytest.mark.parametrize(("given_tokens", "longest"), [(None, MAX_NEW_TOKENS), (50, 50)])
def test_there_is_room_for_thoughts(given_tokens: int | None, longest: int) -> None:
    task = thinking(ask(in_manifest=("question",)), max_new_tokens=given_tokens)
    assert task.max_new_tokens == longest
    assert [one.max_new_tokens for one in task.converse({"question": "Why?"})] == [longest]


def test_an_answer_that_is_held_to_a_form_leaves_no_room() -> None:
    assert leaves_room(ask(in_manifest=("question",)))
    assert not leaves_room(ask(choices=("yes", "no")))
