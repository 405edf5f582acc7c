"""Whatever one row sets off in a stage costs that row: an error with the place it came from, its
neighbours done."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from internvl_ops.engines.base import Completion, EngineDead, Request, Sampling, Watch
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import STAGES, ConfigurationError, UnitError, unforeseen
from internvl_ops.generation import Generator, Retries
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.parts import DecodeOptions, Part
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.preparer import Prepared, Preparer, ReadLimits, Unit
from internvl_ops.tasks import Conversation, Task, ask
from internvl_ops.tasks.conversation import Answered
from pipelines import columns as c
from pipelines.ledger.ledger import Ledger
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.result_columns import result_schema
from pipelines.output.writer import Writer
from pipelines.sources import SourceOptions, plan_source, read_split
from pipelines.sources.ids import ids_from_column
from pipelines.stages.explode import Explode
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table
from tests.pipelines.stages.rows import manifest_rows

ODD = [
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
    KeyError("message"),
    pa.ArrowNotImplementedError("no kernel matching input types"),
    OverflowError("int too big to convert"),
]
odd = pytest.mark.parametrize("problem", ODD, ids=lambda problem: type(problem).__name__)


def rows(questions: Sequence[str]) -> pa.Table:
    return manifest_rows([f"id{n}" for n in range(len(questions))], question=questions)


def errors(table: pa.Table) -> list[dict | None]:
    return table[c.ERROR].to_pylist()


def raising(
    problem: Exception, when: Callable[[Any], bool], otherwise: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    def work(value: Any) -> Any:
        if when(value):
            raise problem
        return otherwise(value)

    return work


def preparer(checkpoint: Checkpoint) -> Preparer:
    reader = (ReadPolicy("/nowhere", ()), DecodeOptions(kind="image"), ReadLimits())
    return Preparer(checkpoint, reader, sampling=Sampling(max_new_tokens=4))


class Echo:
    """An engine for tests of the stage around it: answers with the last token of the prompt, or as
    `odd` says."""

    def __init__(self, odd: Callable[[Request], Completion]) -> None:
        self._odd, self.dead = odd, False

    async def start(self) -> None: ...

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        return self._odd(request)

    def shutdown(self) -> None: ...


def prepared(checkpoint: Checkpoint, questions: Sequence[str], task: Task) -> pa.Table:
    stage = Prepare(lambda: preparer(checkpoint), task)
    try:
        return stage(rows(questions))
    finally:
        stage.close()


def generated(
    checkpoint: Checkpoint,
    table: pa.Table,
    answer: Callable[[Request], Completion],
    retries: int = 0,
) -> pa.Table:
    tokenizer = Tokenizer(checkpoint)

    def make(engine: Recovering) -> Generator:
        return Generator(engine, tokenizer, retries=Retries(times=retries))

    return Generate(lambda: Echo(answer), make, checkpoint.tile_size, hang_s=60)(table)


def completion(text: str = "yes") -> Completion:
    return Completion([5, 6], 10, "stop", text=text, completion_tokens=2)


@odd
def test_what_the_task_asks_of_a_row(checkpoint: Checkpoint, problem: Exception) -> None:
    task = ask()
    task = replace(
        task, converse=raising(problem, lambda row: row["question"] == "odd", task.converse)
    )
    table = prepared(checkpoint, ["Why?", "odd", "How?"], task)
    before, failed, after = errors(table)
    assert before is after is None
    assert failed is not None
    assert (failed["stage"], failed["kind"]) == ("render", "bad_row")
    assert type(problem).__name__ in failed["message"]
    assert "test_failures.py line" in failed["message"]
    assert [value is not None for value in table[c.CONVERSATIONS].to_pylist()] == [
        True,
        False,
        True,
    ]


@odd
def test_preparing_a_unit(checkpoint: Checkpoint, problem: Exception) -> None:
    class Odd(Preparer):
        def _render(self, unit: Unit, loaded: Any, hashes: Any) -> Prepared:
            if unit.conversations[0].questions == ("odd",):
                raise problem
            return super()._render(unit, loaded, hashes)

    reader = (ReadPolicy("/nowhere", ()), DecodeOptions(kind="image"), ReadLimits())
    stage = Prepare(lambda: Odd(checkpoint, reader, sampling=Sampling(max_new_tokens=4)), ask())
    found = errors(stage(rows(["Why?", "odd"])))
    stage.close()
    assert found[0] is None
    assert found[1] is not None
    assert found[1]["kind"] == "bad_row"


@odd
def test_an_answer_of_the_engine(checkpoint: Checkpoint, problem: Exception) -> None:
    table = prepared(checkpoint, ["Why?", "What goes wrong here?", "How?"], ask())
    longest = max(len(value[0]["token_ids"]) for value in table[c.CONVERSATIONS].to_pylist())
    answer = raising(
        problem, lambda request: len(request.token_ids) == longest, lambda _: completion()
    )
    table = generated(checkpoint, table, answer)
    before, failed, after = errors(table)
    assert before is after is None
    assert failed is not None
    assert (failed["stage"], failed["kind"]) == ("generate", "engine_failed")
    assert [value is not None for value in table[c.REPLIES].to_pylist()] == [True, False, True]


def test_an_engine_that_is_gone_is_no_units_fault(checkpoint: Checkpoint) -> None:
    class NeverStarts(Echo):
        async def start(self) -> None:
            raise EngineDead("the weights are not there")

    table = prepared(checkpoint, ["Why?"], ask())
    stage = Generate(
        lambda: NeverStarts(lambda _: completion()),
        lambda engine: Generator(engine, Tokenizer(checkpoint)),
        checkpoint.tile_size,
        hang_s=60,
    )
    with pytest.raises(EngineDead, match="weights"):
        stage(table)


@odd
def test_parsing_an_answer(checkpoint: Checkpoint, problem: Exception) -> None:
    task = ask()
    task = replace(
        task, parse=raising(problem, lambda answered: answered.response == "odd", task.parse)
    )
    answers = iter(["yes", "odd", "no"])
    table = generated(
        checkpoint,
        prepared(checkpoint, ["a?", "b?", "c?"], ask()),
        lambda _: completion(next(answers)),
    )
    table = Parse(checkpoint, task, task.outcome.columns(task.columns), trust_remote_code=False)(
        table
    )
    said = dict(zip(table["response"].to_pylist(), errors(table), strict=True))
    assert said["yes"] is said["no"] is None
    assert said[None] is not None
    assert (said[None]["stage"], said[None]["kind"]) == ("parse", "bad_answer")


class TestValues:
    """What a stage makes of a row has to go into columns; a value that does not is that row's
    error."""

    def parsed(self, checkpoint: Checkpoint, task: Task, texts: Sequence[str]) -> pa.Table:
        answers = iter(texts)
        table = prepared(checkpoint, ["?"] * len(texts), ask())
        table = generated(checkpoint, table, lambda _: completion(next(answers)))
        return Parse(checkpoint, task, task.outcome.columns(task.columns), trust_remote_code=False)(
            table
        )

    def test_too_large_a_number(self, checkpoint: Checkpoint) -> None:
        def parse(answered: Answered) -> dict[str, object]:
            return {"count": int(answered.response)}

        task = Task(
            "count",
            "?",
            pa.schema([("count", pa.int32())]),
            lambda _: [Conversation(("?",), 4)],
            parse,
            4,
        )
        table = self.parsed(checkpoint, task, ["3", str(10**30), "4"])
        assert sorted(table["count"].to_pylist(), key=str) == [3, 4, None]
        (failed,) = [error for error in errors(table) if error]
        assert failed["kind"] == "bad_answer"

    def test_half_a_character_is_replaced(self, checkpoint: Checkpoint) -> None:
        def parse(answered: Answered) -> dict[str, object]:
            return {"labels": [{"name": "smile \ud83d"}, {"name": "\ud83d\ude00"}]}

        columns = pa.schema([("labels", pa.list_(pa.struct([("name", pa.string())])))])
        task = Task("label", "?", columns, lambda _: [Conversation(("?",), 4)], parse, 4)
        table = self.parsed(checkpoint, task, ["x"])
        assert table["labels"].to_pylist() == [[{"name": "smile \ufffd"}, {"name": "\U0001f600"}]]
        assert errors(table) == [None]

    def test_counts_of_a_server_that_no_column_holds(self, checkpoint: Checkpoint) -> None:
        counts = iter([7, 10**12])
        table = prepared(checkpoint, ["a?", "b?"], ask())
        table = generated(
            checkpoint, table, lambda _: replace(completion(), prompt_tokens=next(counts))
        )
        assert sorted(error is None for error in errors(table)) == [False, True]

    def test_an_empty_block_goes_through(self, checkpoint: Checkpoint) -> None:
        table = prepared(checkpoint, ["?"], ask()).slice(0, 0)
        table = generated(checkpoint, table, lambda _: completion())
        task = ask()
        table = Parse(
            checkpoint, task, task.outcome.columns(task.columns), trust_remote_code=False
        )(table)
        assert len(table) == 0
        assert "answer" in table.column_names


@odd
def test_listing_the_pages_of_a_file(problem: Exception) -> None:
    class Reader:
        def list_parts(self, unit: Unit) -> list[Part]:
            raise problem

    table = Explode(Reader, Ledger())(rows(["?"]))  # type: ignore[arg-type]
    (failed,) = errors(table)
    assert failed is not None
    assert (failed["stage"], failed["kind"]) == ("explode", "decoder_crashed")


def test_a_row_that_failed_before_keeps_its_error(checkpoint: Checkpoint) -> None:
    earlier = c.error_value(UnitError("read", "bad_row", "m.jsonl:1: no question"))
    task = ask()
    touched = replace(task, converse=raising(ODD[0], lambda _: True, task.converse))
    stage = Prepare(lambda: preparer(checkpoint), touched)
    table = stage(c.set_errors(rows(["?"]), [earlier]))
    stage.close()
    table = generated(checkpoint, table, lambda _: completion())
    table = Parse(checkpoint, touched, task.outcome.columns(task.columns), trust_remote_code=False)(
        table
    )
    assert errors(table) == [earlier]


class TestUnforeseen:
    @pytest.mark.parametrize("stage", STAGES)
    def test_every_stage_has_a_kind(self, stage: Any) -> None:
        assert unforeseen(stage, KeyError("x")).stage == stage

    def test_a_failure_that_was_foreseen_stays_as_it_is(self) -> None:
        error = UnitError("fetch", "not_found", "a.jpg is not there")
        assert unforeseen("decode", error) is error

    def test_a_message_can_always_be_written(self) -> None:
        assert unforeseen("parse", ValueError("half \ud83d")).message.startswith(
            "ValueError: half \ufffd"
        )
        assert len(unforeseen("parse", ValueError("x" * 10_000)).message) < 400


def test_a_value_that_the_results_cannot_hold(tmp_path: Path) -> None:
    """As where the rows looked at to type a column had small numbers, and a later one has not."""
    ledger, output = Ledger(), OutputFolder(str(tmp_path / "out"))
    ledger.claim(["a", "b", "c"], range(3))
    year, wide = pa.schema([("year", pa.int16())]), pa.schema([("year", pa.int64())])
    with Writer(
        output, ledger, result_schema(year, CAPTION, IMAGE), run_id="run", model="tiny"
    ) as writer:
        writer.add(
            table(
                [row("a") | {"year": 1999}, row("b") | {"year": 10**9}, row("c") | {"year": 3}],
                wide,
            )
        )
    (results,) = (output.read_table(name) for name in output.files(RESULTS))
    (failed,) = (output.read_table(name) for name in output.files(ERRORS))
    assert results.select(["id", "year"]).to_pylist() == [
        {"id": "a", "year": 1999},
        {"id": "c", "year": 3},
    ]
    assert failed["id"].to_pylist() == ["b"]
    assert failed["stage"].to_pylist() == ["write"]
    assert (writer.totals.results, writer.totals.errors) == (2, 1)


@odd
def test_a_row_of_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def ids(column: pa.Array) -> pa.Array:
        if "odd" in column.to_pylist():
            raise problem
        return ids_from_column(column)

    monkeypatch.setattr("pipelines.sources.row_tables.ids_from_column", ids)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(
        "".join(json.dumps({"id": name, "image": "x.jpg"}) + "\n" for name in ("a", "odd", "c"))
    )
    plan = plan_source(SourceOptions(uri=str(manifest)))
    found = pa.concat_tables(rows for split in plan.splits for rows in read_split(plan, split))
    before, failed, after = errors(found)
    assert before is after is None
    assert failed is not None
    assert (failed["stage"], failed["kind"]) == ("read", "bad_row")
    assert failed["message"].startswith("m.jsonl:2: ")


class TestConfiguration:
    """What is wrong for every row ends the job: no row is written off for it."""

    def test_found_while_a_result_is_written(self, tmp_path: Path) -> None:
        class Refused(Writer):
            def _as_results(self, rows: pa.Table) -> pa.Table:
                raise ConfigurationError("--output: the bucket takes no columns")

        ledger, output = Ledger(), OutputFolder(str(tmp_path / "out"))
        ledger.claim(["a"], [0])
        writer = Refused(
            output, ledger, result_schema(pa.schema([]), CAPTION, IMAGE), run_id="run", model="tiny"
        )
        writer.add(table([row("a")]))
        with pytest.raises(ConfigurationError, match="--output"):
            writer.close()
        assert output.files(ERRORS) == []
        assert ledger.lost() == [0]

    def test_found_while_a_row_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def ids(_: pa.Array) -> pa.Array:
            raise ConfigurationError("--id-column: not for ids")

        manifest = tmp_path / "m.jsonl"
        manifest.write_text('{"id": "a", "image": "x.jpg"}\n{"id": "b", "image": "y.jpg"}\n')
        plan = plan_source(SourceOptions(uri=str(manifest)))
        monkeypatch.setattr("pipelines.sources.row_tables.ids_from_column", ids)
        with pytest.raises(ConfigurationError, match="--id-column"):
            [rows for split in plan.splits for rows in read_split(plan, split)]

    def test_found_while_a_unit_is_prepared(self, checkpoint: Checkpoint) -> None:
        class Refuses(Preparer):
            def _render(self, unit: Unit, loaded: Any, hashes: Any) -> Prepared:
                raise ConfigurationError("--system-message: not for this checkpoint")

        reader = (ReadPolicy("/nowhere", ()), DecodeOptions(kind="image"), ReadLimits())
        stage = Prepare(
            lambda: Refuses(checkpoint, reader, sampling=Sampling(max_new_tokens=4)), ask()
        )
        with pytest.raises(ConfigurationError, match="--system-message"):
            stage(rows(["Why?"]))
        stage.close()
