"""Answers become columns, and what is notable about them a note."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from internvl_ops.tasks import ask
from pipelines import columns as c
from pipelines.stages.parse import Parse
from tests.pipelines.stages.rows import manifest_rows


def reply(text: str, **more: Any) -> dict:
    counts = {"prompt_tokens": 5, "completion_tokens": 2, "finish_reason": "stop", "attempts": 1}
    return {"token_ids": [], "text": text} | counts | more


def parsed(*answers: dict, notes: list[list[str] | None]) -> pa.Table:
    rows = manifest_rows([f"u{number}" for number in range(len(answers))], question=["What?"] * len(answers))
    for name in ("width", "height"):
        rows = rows.append_column(name, pa.array([1] * len(answers), pa.int32()))
    rows = rows.append_column("notes", pa.array(notes, pa.list_(pa.string())))
    rows = rows.append_column(c.REPLIES, pa.array([[[[one]]] for one in answers], c.REPLIES_TYPE))
    task = ask()
    return Parse(None, task, c.answered(task.columns), trust_remote_code=False)(rows)


def test_thoughts_are_noted_and_stay_in_the_text() -> None:
    thinking = "<think>It has ears.</think>A cat."
    rows = parsed(
        reply("A dog."), reply(thinking), reply("A cow.", left_out=True), notes=[None, ["first frame of 3"], []]
    )
    assert rows["response"].to_pylist() == ["A dog.", thinking, "A cow."]
    assert rows[c.ERROR].null_count == 3
    plain, held, left_out = rows["notes"].to_pylist()
    assert plain == []
    assert held == ["first frame of 3", "the answer holds thoughts: <think>…</think>"]
    assert left_out == ["thoughts before the answer are left out"]
