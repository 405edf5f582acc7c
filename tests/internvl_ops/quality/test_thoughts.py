"""A result says so where its answers hold thoughts, or are without thoughts that the model had."""

from __future__ import annotations

import pytest

from internvl_ops.quality.thoughts import HELD, LEFT_OUT, UNFINISHED, thought_notes


@pytest.mark.parametrize(
    ("answers", "left_out", "notes"),
    [
        (["A cat."], False, []),
        (["<think>It has ears.</think>A cat."], False, [HELD]),
        (["<THINKING>\nears\n</THINKING>\nA cat."], False, [HELD]),
        (["It has ears.</think>A cat."], False, [HELD]),  # the prompt began the thought
        (["<think>It has ears, and"], False, [UNFINISHED]),
        (["<think>a</think>b<think>c"], False, [UNFINISHED]),
        (["<think>a</think>b", "<think>c"], False, [HELD, UNFINISHED]),
        (["A cat."], True, [LEFT_OUT]),
        (["I think < so > and <thinker>"], False, []),
        ([], False, []),
        ([""], False, []),
    ],
)
def test_notes(answers: list[str], left_out: bool, notes: list[str]) -> None:
    assert thought_notes(answers, left_out=left_out) == notes
