"""A row of a CSV gives the start and the end of its clip, though every value of a CSV is text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from internvl_ops.models.checkpoints.config import Checkpoint
from pipelines import columns as c
from pipelines.commands.job import check_job
from pipelines.options.tasks import job_options
from pipelines.options.tasks.caption import make_caption
from pipelines.sources import read_split
from pipelines.stages.prepare import Prepare
from pipelines.wiring.media import read_policy, reader_arguments
from pipelines.wiring.preparers import prepare_arguments
from testing.corpus_video import Clip, make

ROWS = """id,video,start,end
decimal,v.mp4,0.5,2
clock,v.mp4,0:00.5,00:00:02
whole,v.mp4,,
wrong,v.mp4,soon,2
"""


@pytest.fixture
def prepared(tmp_path: Path, checkpoint: Checkpoint) -> dict[str, dict]:
    (tmp_path / "v.mp4").write_bytes(make(Clip(frames=40, fps=10)))
    (tmp_path / "m.csv").write_text(ROWS)
    options = job_options("caption")(
        input=str(tmp_path / "m.csv"),
        output=str(tmp_path / "out"),
        model=checkpoint.model,
        num_frames=2,
    )
    plan, model, task = check_job(options, make_caption)
    reading = reader_arguments(options, read_policy(options, plan), plan.media_kind)
    stage = Prepare(**prepare_arguments(options, reading, plan, model, task))
    try:
        tables = [stage(rows) for split in plan.splits for rows in read_split(plan, split)]
    finally:
        stage.close()
    return {row[c.ID]: row for row in pa.concat_tables(tables).to_pylist()}


def test_times_of_a_csv_are_the_clip(prepared: dict[str, dict]) -> None:
    failed = {unit: row[c.ERROR] for unit, row in prepared.items() if row[c.ERROR]}
    assert list(failed) == ["wrong"]
    assert failed["wrong"]["kind"] == "bad_row"
    assert prepared["decimal"][c.TILES] == prepared["clock"][c.TILES]
    assert prepared["decimal"][c.TILES] != prepared["whole"][c.TILES]
