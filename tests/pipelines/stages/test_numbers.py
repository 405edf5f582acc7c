"""Answers that are not texts: a number, and a vector of fixed size, from an image to a file in
``results/``.

Everything is real but the engine: a stand-in that looks at the tiles without a model.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from internvl_ops.engines.base import Request, Sampling, Watch
from internvl_ops.errors import ConfigurationError
from internvl_ops.generation import Retries
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.preparer import Preparer, ReadLimits
from internvl_ops.replies import Numbers
from internvl_ops.tasks import NUMBERS, Answered, Conversation, Task, caption, several
from pipelines import columns as c
from pipelines.ledger.ledger import Ledger
from pipelines.options.job_options import JobOptions
from pipelines.options.rules import check_outcome
from pipelines.output.continuity import fit_schema
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.result_columns import (
    MEASURE_COLUMNS,
    carried_names,
    kept_names,
    own_columns,
    result_schema,
)
from pipelines.output.writer import Writer
from pipelines.report.measures import Measures, RunSetup
from pipelines.report.record import RunRecord
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from pipelines.wiring.engines import check_engine
from pipelines.wiring.generators import make_generator
from tests.pipelines.stages.rows import manifest_rows

COLOURS = {"black": (0, 0, 0), "red": (255, 0, 0), "white": (255, 255, 255)}
Through = Callable[[pa.Table, Task], pa.Table]
NO_COLUMNS = pa.schema([])
TEXT_COLUMNS = {
    "response",
    "completion_tokens",
    "finish_reason",
    "attempts",
    "mean_logprob",
    "samples",
}


class ColourStandIn:
    """Instead of a model: the mean of each colour of the tiles, from 0 to 1."""

    dead = False

    async def start(self) -> None: ...

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Numbers:
        assert request.tiles is not None
        return Numbers(
            request.tiles.mean(axis=(0, 2, 3)) / 255, prompt_tokens=len(request.token_ids)
        )

    def shutdown(self) -> None: ...


def numbers_task(name: str, type_: pa.DataType, of: Callable[[np.ndarray], Any]) -> Task:
    def parse(answered: Answered) -> dict[str, object]:
        return {name: of(answered.numbers[0])}

    return Task(
        name=name,
        prompt="Look.",
        columns=pa.schema([(name, type_)]),
        converse=lambda _: [Conversation(("Look.",))],
        parse=parse,
        outcome=NUMBERS,
    )


BRIGHTNESS = numbers_task("brightness", pa.float64(), lambda values: float(values.mean()))
COLOUR = numbers_task("colour", pa.list_(pa.float32(), 3), lambda values: values)


def picture(name: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 30), COLOURS[name]).save(file, "png")
    return file.getvalue()


def manifest(names: Sequence[str], **columns: Sequence[Any]) -> pa.Table:
    """A row for each colour; a name that is no colour has a file that is no image."""
    media = [
        [{"uri": f"{name}.png", "bytes": picture(name) if name in COLOURS else b"no image"}]
        for name in names
    ]
    return manifest_rows(names, **{c.MEDIA: media}, **columns)


@pytest.fixture(scope="module")
def finished(checkpoint: Checkpoint) -> Iterator[Through]:
    """Sends rows through all stages."""
    reader = (
        ReadPolicy("/nowhere", ()),
        DecodeOptions(kind="image", image=ImageOptions(max_tiles=1)),
        ReadLimits(),
    )
    preparer = Preparer(checkpoint, reader, sampling=Sampling(max_new_tokens=0))

    def through_all_stages(rows: pa.Table, task: Task) -> pa.Table:
        make = functools.partial(
            make_generator,
            checkpoint=checkpoint,
            trust_remote_code=False,
            retries=Retries(),
            stop=(),
            samples=1,
            outcome=task.outcome,
        )
        stages = [
            Prepare(lambda: preparer, task),
            Generate(ColourStandIn, make, checkpoint.tile_size, hang_s=60, outcome=task.outcome),
            Parse(checkpoint, task, task.outcome.columns(task.columns), trust_remote_code=False),
        ]
        for stage in stages:
            rows = stage(rows)
        return rows

    yield through_all_stages
    preparer.close()


def schema_of(task: Task, passthrough: pa.Schema) -> pa.Schema:
    return result_schema(
        passthrough,
        task,
        own_columns(task, NUMBERS.columns(task.columns), MEASURE_COLUMNS["image", False]),
    )


def written(
    output: OutputFolder, rows: pa.Table, task: Task, passthrough: pa.Schema = NO_COLUMNS
) -> Writer:
    ledger = Ledger()
    ledger.claim(rows[c.ID].to_pylist(), rows[c.POSITION].to_pylist())
    with Writer(output, ledger, schema_of(task, passthrough), run_id="run", model="tiny") as writer:
        writer.add(rows)
    return writer


def read(output: OutputFolder, folder: str) -> pa.Table:
    return pa.concat_tables([output.read_table(name) for name in output.files(folder)])


def test_a_number_for_each_image(finished: Through, tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    totals = written(output, finished(manifest(list(COLOURS)), BRIGHTNESS), BRIGHTNESS).totals
    found = read(output, RESULTS)
    assert dict(
        zip(found["id"].to_pylist(), found["brightness"].to_pylist(), strict=True)
    ) == pytest.approx({"black": 0, "red": 1 / 3, "white": 1})
    assert found.schema.field("brightness").type == pa.float64()
    assert not TEXT_COLUMNS & set(found.column_names)
    assert found["width"].to_pylist() == [40] * 3
    assert totals.prompt_tokens == sum(found["prompt_tokens"].to_pylist()) > 0
    assert (totals.results, totals.completion_tokens, totals.tiles) == (3, 0, 3)


def test_a_vector_of_fixed_size_for_each_image(finished: Through, tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    written(output, finished(manifest(["red", "white"]), COLOUR), COLOUR)
    found = read(output, RESULTS)
    assert found.schema.field("colour").type == pa.list_(pa.float32(), 3)
    assert found["colour"].to_pylist() == [[1, 0, 0], [1, 1, 1]]
    assert not TEXT_COLUMNS & set(found.column_names)
    near = duckdb.sql(
        f"SELECT id FROM '{tmp_path}/results/*.parquet' ORDER BY list_distance(colour, [1, 0.1, 0])"
    )
    assert near.fetchall() == [("red",), ("white",)]


def test_a_vector_of_another_size_and_a_file_that_is_no_image_cost_their_rows(
    finished: Through, tmp_path: Path
) -> None:
    task = numbers_task(
        "colour",
        COLOUR.columns.field("colour").type,
        lambda values: values[: 3 if values[1] else 2],
    )
    output = OutputFolder(str(tmp_path))
    rows = finished(manifest(["white", "red", "broken"]), task)
    assert rows["colour"].null_count == 2
    written(output, rows, task)
    assert read(output, RESULTS)["id"].to_pylist() == ["white"]
    errors = {row["id"]: (row["stage"], row["kind"]) for row in read(output, ERRORS).to_pylist()}
    assert errors == {"red": ("parse", "bad_answer"), "broken": ("decode", "unsupported")}


def test_text_columns_of_a_manifest_are_carried_and_not_counted(
    finished: Through, tmp_path: Path
) -> None:
    """As of an earlier job that wrote captions."""
    theirs = pa.schema([("response", pa.string()), ("completion_tokens", pa.int64())])
    own = own_columns(
        BRIGHTNESS, NUMBERS.columns(BRIGHTNESS.columns), MEASURE_COLUMNS["image", False]
    )
    names = kept_names(theirs, own)
    assert names == {"response": "response", "completion_tokens": "manifest_completion_tokens"}
    carried = manifest(["red"], response=["a red area"], manifest_completion_tokens=[9])
    output = OutputFolder(str(tmp_path))
    totals = written(output, finished(carried, BRIGHTNESS), BRIGHTNESS, theirs).totals
    (row,) = read(output, RESULTS).to_pylist()
    assert (row["response"], row["manifest_completion_tokens"], totals.completion_tokens) == (
        "a red area",
        9,
        0,
    )
    schema = schema_of(BRIGHTNESS, theirs)
    assert carried_names(schema) == ["response", "manifest_completion_tokens", c.MORE]
    assert fit_schema(output, schema).equals(schema)


def test_the_record_counts_what_there_is(finished: Through, tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    options = JobOptions.model_validate(
        {"input": "in.jsonl", "output": str(tmp_path), "model": "tiny"}
    )
    record = RunRecord(options, BRIGHTNESS, output)
    record.measures = Measures(RunSetup(tokens=NUMBERS.tokens), clock=iter([0.0, 10.0]).__next__)
    rows = finished(manifest(["red"]), BRIGHTNESS)
    record.measures.take(rows.drop_columns([c.ENGINE_GAUGE]))  # which has the time of this machine
    rows = rows.set_column(
        rows.column_names.index(c.PREVIEW), c.PREVIEW, pa.array([b"jpeg"], pa.binary())
    )
    writer = written(output, record.take_previews(rows), BRIGHTNESS)
    record.ended = "done"
    ledger = Ledger()
    ledger.claim(["red"], [0])
    record.finish(writer.totals, ledger.counts(), [])
    (folder,) = (tmp_path / "_runs").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert run["tokens"] == {"prompt": rows["prompt_tokens"][0].as_py()}
    assert "finish_reasons" not in run
    assert run["rates"]["units_per_second"] == 0.1
    assert "completion_tokens_per_second" not in run["rates"]
    page = (folder / "report.html").read_text()
    assert "brightness: 0.33" in page
    assert "tokens/s" not in page


def test_the_page_shows_the_first_numbers_of_a_vector(finished: Through, tmp_path: Path) -> None:
    task = numbers_task("vector", pa.list_(pa.float32(), 12), lambda values: np.resize(values, 12))
    output = OutputFolder(str(tmp_path))
    options = JobOptions.model_validate(
        {"input": "in.jsonl", "output": str(tmp_path), "model": "tiny"}
    )
    record = RunRecord(options, task, output)
    record.measures = Measures(RunSetup(tokens=NUMBERS.tokens))
    rows = finished(manifest(["red"]), task)
    rows = rows.set_column(
        rows.column_names.index(c.PREVIEW), c.PREVIEW, pa.array([b"jpeg"], pa.binary())
    )
    writer = written(output, record.take_previews(rows), task)
    record.ended = "done"
    record.finish(writer.totals, Ledger().counts(), [])
    (page,) = (tmp_path / "_runs").glob("*/report.html")
    assert "vector: 12 numbers: 1.000, 0.000, 0.000, 1.000, …" in page.read_text()


def test_an_engine_of_texts_is_refused(checkpoint: Checkpoint) -> None:
    options = JobOptions.model_validate({"input": "in.jsonl", "output": "out", "model": "tiny"})
    with pytest.raises(
        ConfigurationError, match="--engine vllm: the task brightness needs numbers"
    ):
        check_engine(options, checkpoint, BRIGHTNESS)


def test_options_about_texts_are_refused() -> None:
    options = JobOptions.model_validate(
        {"input": "in.jsonl", "output": "out", "model": "tiny", "temperature": 0.5}
    )
    with pytest.raises(
        ConfigurationError, match=r"--temperature 0.5 has no effect: the answers .* are numbers"
    ):
        check_outcome(options, BRIGHTNESS)
    check_outcome(options, caption())


def test_one_pass_of_several_tasks_is_of_texts() -> None:
    with pytest.raises(
        ConfigurationError, match="`tasks`=caption,colour: the answers of colour are numbers"
    ):
        several([caption(), COLOUR])


def test_a_second_question_ends_the_job(finished: Through) -> None:
    """It cannot follow an answer that is no text."""
    task = Task(
        "two",
        "?",
        COLOUR.columns,
        lambda _: [Conversation(("A?", "B?"))],
        COLOUR.parse,
        outcome=NUMBERS,
    )
    with pytest.raises(ConfigurationError, match="Ask each by itself"):
        finished(manifest(["red"]), task)
