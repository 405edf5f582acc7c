"""The job that makes vectors, run in this process over rows in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from pipelines import columns as c
from pipelines.commands.job import check_job
from pipelines.ledger.ledger import Ledger
from pipelines.options.command_line import build_options
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.output.continuity import columns_of
from pipelines.output.folder import OutputFolder
from pipelines.output.settings import metadata
from pipelines.output.writer import Writer
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from pipelines.wiring.engines import (
    checkpoint_version,
    engine_maker,
    load_any_model,
    tile_size,
    tokenizer_checkpoint,
)
from pipelines.wiring.generators import generator_maker
from pipelines.wiring.media import read_policy, reader_arguments
from pipelines.wiring.preparers import prepare_arguments
from tests.pipelines.stages.rows import manifest_rows


def picture(colour: tuple[int, int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGB", (80, 60), colour).save(file, "png")
    return file.getvalue()


def embedded(tmp_path: Path, rows: pa.Table, **options: Any) -> OutputFolder:
    """Runs a job's stages on rows, in this process, and writes them."""
    tmp_path.mkdir(exist_ok=True)
    manifest = tmp_path / "manifest.jsonl"
    own = {
        name: values[0]
        for name, values in rows.to_pydict().items()
        if name != "id" and not name.startswith("__")
    }
    manifest.write_text(json.dumps(own) + "\n")
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
    parse = Parse(
        tokenizer_checkpoint(made, model),
        task,
        task.outcome.columns(task.columns),
        trust_remote_code=False,
    )
    ledger = Ledger()
    ledger.claim(rows[c.ID].to_pylist(), rows[c.POSITION].to_pylist())
    made_with = metadata(made, task, checkpoint_version(model))
    with Writer(
        output, ledger, columns.schema, run_id="run", model=made.model, metadata=made_with
    ) as writer:
        writer.add(parse(generate(prepare(rows))))
    prepare.close()
    return output


def read(output: OutputFolder, folder: str) -> list[dict[str, Any]]:
    return [row for name in output.files(folder) for row in output.read_table(name).to_pylist()]


def image_rows(files: Sequence[bytes]) -> pa.Table:
    media = [[{"uri": f"{number}.png", "bytes": file}] for number, file in enumerate(files)]
    ids = list(map(str, range(len(files))))
    return manifest_rows(ids, **{c.MEDIA: media}, image=[f"{name}.png" for name in ids])
