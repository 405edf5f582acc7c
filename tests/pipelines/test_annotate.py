"""The graph as it is built, before anything runs."""

from pathlib import Path

import ray
from ray.data import DataContext, Dataset
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import InputData
from ray.data._internal.stats import DatasetStats

from internvl_ops.models.config import Checkpoint
from jobs.caption_dataset import Options
from pipelines.annotate import Graph
from pipelines.cluster import Workers
from pipelines.job import check
from pipelines.tasks import make_caption


def test_an_engine_on_gpus_takes_whole_blocks(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Ray refuses this combination to its public ``map_batches``."""
    manifest = tmp_path / "images.jsonl"
    manifest.write_text('{"image": "a.jpg"}\n')
    options = Options(input=str(manifest), output=str(tmp_path / "out"), model=checkpoint.model)
    plan, checkpoint_, task = check(options, make_caption)
    workers = Workers(engines=2, gpus_per_engine=4, prepare_actors=1, in_flight=512, rows_per_block=8)
    context = DataContext.get_current()
    nothing = Dataset(LogicalPlan(InputData(input_data=[]), context), context, DatasetStats(metadata={}, parent=None))
    rows = Graph(options, task, plan, checkpoint_, workers, None).generate(nothing)
    stage = rows._logical_plan.dag
    assert stage.ray_remote_args["num_gpus"] == 4
    assert stage.batch_size is None
    assert not ray.is_initialized(), "building the graph runs nothing"
