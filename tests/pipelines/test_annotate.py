"""The graph as it is built, and where its actors go."""

import functools
import json
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.data import DataContext, Dataset
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import InputData
from ray.data._internal.stats import DatasetStats

from internvl_ops.models.checkpoints.config import Checkpoint
from pipelines import annotate
from pipelines.annotate import Graph
from pipelines.blocks import Blocks
from pipelines.cluster import Workers
from pipelines.commands.job import check_job
from pipelines.options.tasks import job_options
from pipelines.options.tasks.ask import make_ask
from pipelines.options.tasks.caption import make_caption
from pipelines.output.continuity import Columns
from tests.pipelines.meeting import StandInThatMeetsAnother

pytestmark = pytest.mark.usefixtures("no_ray_session")

Options = job_options("caption")


def test_an_engine_on_gpus_takes_whole_blocks(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Ray refuses this combination to its public ``map_batches``."""
    manifest = tmp_path / "images.jsonl"
    manifest.write_text('{"image": "a.jpg"}\n')
    options = Options(input=str(manifest), output=str(tmp_path / "out"), model=checkpoint.model)
    plan, checkpoint_, task = check_job(options, make_caption)
    workers = Workers(
        engines=2, gpus_per_engine=4, prepare_actors=1, in_flight=512, blocks=Blocks(8, 64)
    )
    context = DataContext.get_current()
    nothing = Dataset(
        LogicalPlan(InputData(input_data=[]), context),
        context,
        DatasetStats(metadata={}, parent=None),
    )
    rows = Graph(
        options, task, plan, checkpoint_, workers, None, Columns(pa.schema([]), {})
    ).generate(nothing)
    stage = rows._logical_plan.dag
    assert stage.ray_remote_args["num_gpus"] == 4
    assert stage.batch_size is None
    assert not ray.is_initialized(), "building the graph runs nothing"


def test_engines_find_room_on_a_node_with_more_gpus_than_cpus(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prepare actors would otherwise leave GPUs without an engine, for as long as the job runs and
    without a word."""
    manifest, met = tmp_path / "questions.jsonl", tmp_path / "met"
    manifest.write_text(
        "".join(json.dumps({"id": f"{n}", "question": "Why?"}) + "\n" for n in range(40))
    )
    met.mkdir()
    monkeypatch.setattr(
        annotate, "engine_maker", lambda *_: functools.partial(StandInThatMeetsAnother, met)
    )
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20}
    )
    try:
        cluster.add_node(num_cpus=1, num_gpus=2, object_store_memory=100 << 20)
        cluster.wait_for_nodes()
        options = job_options("ask")(
            input=str(manifest),
            output=str(tmp_path / "out"),
            model=checkpoint.model,
            max_new_tokens=8,
            retries=0,
            in_flight=1,
            rows_per_block=1,
            ray_address=cluster.address,
        )
        record = annotate.annotate(options, *check_job(options, make_ask))
    finally:
        cluster.shutdown()
    assert (record.ended, record.totals.results) == ("done", 40)
    assert record.measures.device()["engines_at_work"] == 2
