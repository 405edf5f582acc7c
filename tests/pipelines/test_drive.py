"""What a job says when a worker fails."""

import pytest

from pipelines.drive import cause

ACTOR_DIED = """The actor died because of an error raised in its creation task, ray::MapWorker(MapBatches(Generate))
  File "vllm.py", line 96, in _start
    raise EngineDead("vLLM did not start")
internvl_ops.engines.base.EngineDead: vLLM did not start: no room on the device"""

USER_CODE = """ray::MapWorker(MapBatches(Prepare)).submit() (pid=13623)
  File "stages.py", line 69, in __call__
ValueError: page -1 is not there

The above exception was the direct cause of the following exception:

ray::MapWorker(MapBatches(Prepare)).submit() (pid=13623)
ray.exceptions.UserCodeException: UDF failed to process a data block.

To change retry attempts, configure `ray.data.DataContext.get_current()`."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ACTOR_DIED, "internvl_ops.engines.base.EngineDead: vLLM did not start: no room on the device"),
        (USER_CODE, "ValueError: page -1 is not there"),
        ("ValueError: first\nDead: then\nray.exceptions.RayTaskError: at last", "Dead: then"),
        ("The node was lost.", "The node was lost."),
        ("", "RuntimeError"),
    ],
)
def test_the_workers_own_exception_is_what_the_job_says(text, said):
    assert cause(RuntimeError(text)) == said
