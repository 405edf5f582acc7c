"""Rows go from stage to stage in one process: no Ray, no model, no files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from internvl_ops.engines.base import Chat, Completion, Request, Sampling, Watch
from internvl_ops.errors import UnitError
from internvl_ops.generation import Generator
from internvl_ops.media.document_info import PageInfo
from internvl_ops.media.parts import Part
from internvl_ops.media.picture_stats import PictureStats
from internvl_ops.media.sandbox_confinement import available
from internvl_ops.media.text_layer import LayerLine, TextLayer
from internvl_ops.preparer import MediaRef, Prepared, Unit
from internvl_ops.rendered import ChatConversation, RenderedConversation
from internvl_ops.tasks import Answered, Task, ask, ocr
from pipelines import columns as c
from pipelines.ledger.ledger import Ledger
from pipelines.stages.explode import Explode
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from pipelines.stages.read import claim
from tests.pipelines.stages.rows import manifest_rows

SIDE = 2
Stage = Callable[[pa.Table], pa.Table]


class TwoPages:
    """Files of two pages."""

    def list_parts(self, unit: Unit) -> list[Part]:
        return [Part(page=1), Part(page=2)]

    def version(self, media: MediaRef) -> str:
        return ""


class Preparing:
    """Makes one tile a unit, and a chat of a question that begins so."""

    def __init__(self) -> None:
        self.seen: list[Unit] = []

    def prepare(self, units: Sequence[Unit]) -> list[Prepared]:
        self.seen += units
        return [self._prepared(unit, unit.conversations[0].questions[0]) for unit in units]

    def _prepared(self, unit: Unit, question: str) -> Prepared:
        tiles = np.full((1, 3, SIDE, SIDE), len(question), np.uint8)
        if question.startswith("chat"):
            return Prepared(
                [ChatConversation(Chat(question), [], None, Sampling())], tiles[:0], [], [], 4, 3
            )
        ids = np.arange(len(question), dtype=np.int32)
        return Prepared(
            [RenderedConversation(ids, [], [], None, Sampling())], tiles, [1], ["hash"], 4, 3
        )

    def version(self, unit: Unit) -> str:
        return ""

    def preview(self, prepared: Prepared) -> None:
        return None

    def close(self) -> None: ...


class Answering:
    """Says what it was given."""

    dead = False

    async def start(self) -> None: ...

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        tiles = 0 if request.tiles is None else int(request.tiles.sum())
        said = (
            request.chat.question
            if request.chat
            else f"{len(request.token_ids)} ids, tiles of {tiles}"
        )
        return Completion([], 10, "stop", text=said, completion_tokens=2)

    def shutdown(self) -> None: ...


def whole_way(
    task: Task, preparing: Preparing, ledger: Ledger, *, pages: bool = False
) -> dict[str, Stage]:
    """Every stage behind the manifest, by name."""
    stages: dict[str, Stage] = {"claim": lambda rows: claim(rows, ledger)}
    if pages:
        stages["explode"] = Explode(TwoPages, ledger)  # type: ignore[arg-type, assignment]
    stages["prepare"] = Prepare(lambda: preparing, task)  # type: ignore[arg-type, return-value]
    stages["generate"] = Generate(
        Answering, lambda engine: Generator(engine, None), SIDE, hang_s=60
    )
    stages["parse"] = Parse(None, task, task.outcome.columns(task.columns), trust_remote_code=False)
    return stages


def unclaimed(ids: Sequence[str], questions: Sequence[str]) -> pa.Table:
    media = [[{"uri": "a.pdf", "bytes": None}]] * len(ids)
    rows = manifest_rows(ids, question=questions, year=[1999] * len(ids), **{c.MEDIA: media})
    return rows.drop_columns([c.KEY])


def went(rows: pa.Table, stages: Mapping[str, Stage]) -> pa.Table:
    for stage in stages.values():
        rows = stage(rows)
    return rows


def kinds(rows: pa.Table) -> list[str | None]:
    return [error and error["kind"] for error in rows[c.ERROR].to_pylist()]


def test_a_chat_beside_a_rendered_prompt() -> None:
    rows = went(
        unclaimed(["a", "b", "c"], ["Why?", "chat: how?", "Where?"]),
        whole_way(ask(), Preparing(), Ledger()),
    )
    assert rows["response"].to_pylist() == [
        "4 ids, tiles of 48",
        "chat: how?",
        "6 ids, tiles of 72",
    ]
    assert kinds(rows) == [None] * 3
    assert rows["year"].to_pylist() == [1999] * 3


@pytest.mark.parametrize("pages", [False, True], ids=["images", "pages"])
def test_an_empty_block_comes_out_with_the_columns_of_a_full_one(pages: bool) -> None:
    rows = unclaimed(["a"], ["Why?"])
    full = went(rows, whole_way(ask(), Preparing(), Ledger(), pages=pages))
    empty = went(rows.slice(0, 0), whole_way(ask(), Preparing(), Ledger(), pages=pages))
    assert len(empty) == 0
    assert empty.schema.equals(full.schema)


@pytest.mark.parametrize("pages", [False, True], ids=["images", "pages"])
def test_an_error_goes_through_every_stage_untouched(pages: bool) -> None:
    earlier = c.error_value(UnitError("read", "bad_row", "m.jsonl:1: no question", attempts=3))
    preparing = Preparing()
    rows = c.set_errors(unclaimed(["a", "b"], ["Why?", "How?"]), [earlier, None])
    before = rows.select([c.ID, c.SOURCE, c.POSITION, "year"]).slice(0, 1).to_pylist()
    for name, stage in whole_way(ask(), preparing, Ledger(), pages=pages).items():
        rows = stage(rows)
        assert rows[c.ERROR][0].as_py() == earlier, name
        assert (
            rows.select([c.ID, c.SOURCE, c.POSITION, "year"]).slice(0, 1).to_pylist() == before
        ), name
    assert rows["response"][0].as_py() is None
    assert rows[c.PLACES][0].as_py() == ["a.pdf"]
    assert len(preparing.seen) == len(rows) - 1
    assert kinds(rows) == ["bad_row"] + [None] * (len(rows) - 1)


def test_a_page_id_that_is_taken_reaches_the_end_as_an_error() -> None:
    rows = unclaimed(["a#page=2", "a"], ["Why?", "How?"])
    ledger, preparing = Ledger(), Preparing()
    ledger.claim(["a#page=2"], [77])
    rows = went(rows.slice(1), whole_way(ask(), preparing, ledger, pages=True))
    assert rows[c.ID].to_pylist() == ["a#page=1", "a#page=2"]
    assert kinds(rows) == [None, "duplicate_id"]
    assert rows["parent"].to_pylist() == ["a", "a"]
    assert [unit.part for unit in preparing.seen] == [Part(page=1)]


def test_a_number_that_is_none_is_the_error_of_its_row() -> None:
    def parse(answered: Answered) -> dict[str, object]:
        return {"score": float(answered.response)}

    columns = pa.schema([("score", pa.float32())])
    task = replace(ask(), columns=columns, parse=parse)
    rows = went(unclaimed(["a", "b"], ["Why?", "chat"]), whole_way(task, Preparing(), Ledger()))
    assert kinds(rows) == ["bad_answer"] * 2
    assert rows["score"].null_count == 2


def test_a_blank_unit_reaches_no_engine_and_carries_its_measures() -> None:
    stats = PictureStats("ab", "cd", 0.0, 1.5, 2.5)

    class OneIsBlank(Preparing):
        def _prepared(self, unit: Unit, question: str) -> Prepared:
            return replace(
                super()._prepared(unit, question),
                unasked="blank" if question == "blank" else "",
                stats=stats,
            )

    class NeverAskedAboutBlank(Answering):
        async def generate(
            self, request: Request, sampling: Sampling, watch: Watch | None = None
        ) -> Completion:
            assert request.token_ids is not None
            assert len(request.token_ids) != len("blank")
            return await super().generate(request, sampling, watch)

    stages = whole_way(ask(), OneIsBlank(), Ledger())
    stages["prepare"] = Prepare(OneIsBlank, ask(), stats=True)  # type: ignore[arg-type, assignment]
    stages["generate"] = Generate(
        NeverAskedAboutBlank, lambda engine: Generator(engine, None), SIDE, hang_s=60
    )
    rows = went(unclaimed(["a", "b"], ["blank", "What is it?"]), stages)
    assert kinds(rows) == [None, None]
    assert rows["finish_reason"].to_pylist() == ["blank", "stop"]
    assert rows["response"].to_pylist()[0] == ""
    assert rows["image_phash"].to_pylist() == ["cd", "cd"]
    assert rows["entropy"].to_pylist() == [2.5, 2.5]


def test_a_page_is_answered_by_its_layer_and_the_others_are_compared_with_theirs() -> None:
    good = TextLayer((LayerLine("said by the file", 0, 0, 1, 1),))
    poor = TextLayer((LayerLine("tiles of 12 lay in the file", 0, 0, 1, 1),), doubts=("order",))

    class HaveLayers(Preparing):
        def _prepared(self, unit: Unit, question: str) -> Prepared:
            own = question.startswith("own")
            layer = good if own else poor
            info = PageInfo("iv", '{"title": "x"}') if own else None
            unasked = "text_layer" if own else ""
            return replace(
                super()._prepared(unit, question), unasked=unasked, layer=layer, info=info
            )

    class NeverAskedAboutOwn(Answering):
        async def generate(
            self, request: Request, sampling: Sampling, watch: Watch | None = None
        ) -> Completion:
            assert request.token_ids is not None
            assert len(request.token_ids) != len("own")
            return await super().generate(request, sampling, watch)

    task = ocr()
    stages = whole_way(task, HaveLayers(), Ledger())
    stages["prepare"] = Prepare(HaveLayers, task, layer=True)  # type: ignore[arg-type, assignment]
    stages["generate"] = Generate(
        NeverAskedAboutOwn, lambda engine: Generator(engine, None), SIDE, hang_s=60
    )
    stages["parse"] = Parse(
        None, task, task.outcome.columns(task.columns), trust_remote_code=False, compares=True
    )
    rows = went(unclaimed(["a", "b"], ["own", "x"]), stages)
    assert kinds(rows) == [None, None]
    assert rows["finish_reason"].to_pylist() == ["text_layer", "stop"]
    assert rows["text"].to_pylist() == ["said by the file", "1 ids, tiles of 12"]
    assert rows["text_layer_doubts"].to_pylist() == [[], ["order"]]
    assert rows["text_layer_flags"].to_pylist() == [None, ["invention", "omission"]]
    assert rows["only_in_text_layer"].to_pylist()[1] == ["lay in the file"]
    assert rows["page_label"].to_pylist() == ["iv", None]
    assert rows["document_info"].to_pylist() == ['{"title": "x"}', None]


def test_every_preparer_says_once_how_its_decoder_is_confined() -> None:
    ledger = Ledger()
    for _ in range(2):  # as an actor of the same name that Ray starts again
        Prepare(Preparing, ask(), ledger=ledger)  # type: ignore[arg-type, type-abstract]
    assert [json.loads(value) for value in ledger.decoders()] == [available().as_dict()]
