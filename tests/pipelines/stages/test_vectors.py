"""Vectors from files and texts to Parquet, by the real engine, through the stages as a job makes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.encoders.config import load_encoder
from pipelines import columns as c
from pipelines.commands.job import check_job
from pipelines.flags import in_flags
from pipelines.ledger.ledger import Ledger
from pipelines.options.command_line import build_options
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.output.continuity import columns_of
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.writer import Writer
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from pipelines.wiring.engines import engine_maker, load_any_model, tile_size, tokenizer_checkpoint
from pipelines.wiring.generators import generator_maker
from pipelines.wiring.media import read_policy, reader_arguments
from pipelines.wiring.preparers import prepare_arguments
from testing.tiny.encoders import make_tiny_internvit, make_tiny_internvl
from tests.pipelines.stages.rows import manifest_rows


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_internvl(tmp_path_factory.mktemp("internvl"))


@pytest.fixture(scope="module")
def internvit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_internvit(tmp_path_factory.mktemp("internvit"))


def picture(colour: tuple[int, int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGB", (80, 60), colour).save(file, "png")
    return file.getvalue()


def embedded(tmp_path: Path, rows: pa.Table, **options: Any) -> OutputFolder:
    """Runs a job's stages on rows, in this process, and writes them."""
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"text": "a"}\n' if "text_column" in options else '{"image": "a.png"}\n')
    values = {"input": str(manifest), "output": str(tmp_path / "out"), **options}
    made: EmbedJobOptions = build_options(EmbedJobOptions, values)
    plan, _, task = check_job(made, EmbedJobOptions.make_task)
    model, output = load_any_model(made), OutputFolder(made.output)
    reading = reader_arguments(made, read_policy(made, plan), plan.media_kind)
    columns = columns_of(output, made, plan, task, [])
    prepare = Prepare(**prepare_arguments(made, reading, plan, model, task))
    generate = Generate(
        engine_maker(made, model, task, 0),
        generator_maker(made, model, task),
        tile_size(model),
        hang_s=60,
        outcome=task.outcome,
    )
    parse = Parse(tokenizer_checkpoint(made, model), task, task.outcome.columns(task.columns), trust_remote_code=False)
    ledger = Ledger()
    ledger.claim(rows[c.ID].to_pylist(), rows[c.POSITION].to_pylist())
    with Writer(output, ledger, columns.schema, run_id="run", model="tiny") as writer:
        writer.add(parse(generate(prepare(rows))))
    prepare.close()
    return output


def read(output: OutputFolder, folder: str) -> list[dict[str, Any]]:
    return [row for name in output.files(folder) for row in output.read_table(name).to_pylist()]


def image_rows(files: Sequence[bytes]) -> pa.Table:
    media = [[{"uri": f"{number}.png", "bytes": file}] for number, file in enumerate(files)]
    ids = list(map(str, range(len(files))))
    return manifest_rows(ids, **{c.MEDIA: media}, image=[f"{name}.png" for name in ids])


def test_pictures_of_the_same_colour_are_near(internvit: Path, tmp_path: Path) -> None:
    """And a file that is no picture costs its own row."""
    red, blue = picture((200, 20, 20)), picture((20, 20, 200))
    output = embedded(tmp_path, image_rows([red, blue, red, b"no picture"]), model=str(internvit), pooling="mean")
    vectors = {row["id"]: np.array(row["vector"]) for row in read(output, RESULTS)}
    assert vectors["0"] @ vectors["2"] == pytest.approx(1, abs=1e-3)
    assert vectors["0"] @ vectors["1"] < 0.999
    assert [row["id"] for row in read(output, ERRORS)] == ["3"]
    schema = output.read_table(output.files(RESULTS)[0]).schema
    assert schema.field("vector").type == pa.list_(pa.float32(), 128)
    near = duckdb.sql(
        f"WITH v AS (FROM '{tmp_path}/out/results/*.parquet') SELECT b.id FROM v a, v b WHERE a.id = '0' AND b.id <> "
        "'0' ORDER BY list_cosine_distance(a.vector, b.vector)"
    )
    assert near.fetchall() == [("2",), ("1",)]


def test_half_precision(internvit: Path, tmp_path: Path) -> None:
    rows = image_rows([picture((1, 200, 90))])
    output = embedded(tmp_path, rows, model=str(internvit), vector_type="float16", engine_args={"dtype": "float32"})
    assert output.read_table(output.files(RESULTS)[0]).schema.field("vector").type == pa.list_(pa.float16(), 128)
    (row,) = read(output, RESULTS)
    assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-3)


def test_texts(internvl: Path, tmp_path: Path) -> None:
    """A text of its own; one that is cut says so; an empty one is the row's error."""
    texts = ["a red square", "a blue circle " * 60, "", "a red square"]
    rows = manifest_rows(["a", "b", "c", "d"], text=texts)
    output = embedded(tmp_path, rows, model=str(internvl), text_column="text")
    found = {row["id"]: row for row in read(output, RESULTS)}
    assert found["a"]["vector"] == pytest.approx(found["d"]["vector"], abs=1e-3)
    assert found["a"]["notes"] is None or found["a"]["notes"] == []
    assert found["b"]["notes"] == ["the text is longer than 80 tokens; the rest was left out"]
    assert found["b"]["prompt_tokens"] == 80
    (error,) = read(output, ERRORS)
    assert (error["id"], error["kind"]) == ("c", "bad_row")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"text_column": "text"}, "--text-column text: .* has no text encoder. Use --model OpenGVLab/InternVL-14B"),
        ({"text_column": "caption"}, "--text-column caption: no such column"),
        ({"pooling": "projected"}, "--pooling projected: .* gives vectors pooled by class, mean"),
        ({"max_tiles": 4}, "--max-tiles 4 has no effect: the middle of a picture is one tile"),
        ({"text_prefix": "x"}, "--text-prefix x has no effect: pictures are embedded"),
        ({"prompt": "What?"}, "--prompt is not an option of this command: vectors have no prompt"),
        ({"engine": "vllm"}, "--engine vllm: .*torch"),
        ({"engine_args": {"quantization": "awq"}}, "--engine-args: 'quantization' is not an argument"),
        ({"gpus_per_engine": 2}, "--gpus-per-engine 2: an engine of vectors runs on one GPU"),
    ],
)
def test_wrong_options(internvit: Path, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"image": "a.png", "text": "a"}\n')
    values = {"input": str(manifest), "output": str(tmp_path / "out"), "model": str(internvit), **options}
    with pytest.raises(ConfigurationError) as error:
        check_job(build_options(EmbedJobOptions, values), EmbedJobOptions.make_task)
    assert re.search(match, in_flags(str(error.value)))


def test_texts_share_a_space_with_pictures_by_c_and_g_alone(internvl: Path, tmp_path: Path) -> None:
    assert load_encoder(str(internvl)).reads_texts
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"text": "a"}\n')
    values = {"input": str(manifest), "output": str(tmp_path / "out"), "model": str(internvl), "text_column": "text"}
    with pytest.raises(ConfigurationError, match="texts and pictures share a space only by c and g"):
        check_job(build_options(EmbedJobOptions, values | {"pooling": "class"}), EmbedJobOptions.make_task)
