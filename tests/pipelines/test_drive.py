"""What a job says when a worker fails."""

import pyarrow as pa
import pytest

from pipelines.drive import ErrorLimit, cause, count_retries
from pipelines.report.event_counts import EventCounts

ACTOR_DIED = """The actor died because of an error raised in its creation task, \
ray::MapWorker(MapBatches(Generate))
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
        (
            ACTOR_DIED,
            "internvl_ops.engines.base.EngineDead: vLLM did not start: no room on the device",
        ),
        (USER_CODE, "ValueError: page -1 is not there"),
        ("ValueError: first\nDead: then\nray.exceptions.RayTaskError: at last", "Dead: then"),
        ("The node was lost.", "The node was lost."),
        ("", "RuntimeError"),
    ],
)
def test_the_workers_own_exception_is_what_the_job_says(text, said):
    assert cause(RuntimeError(text)) == said


def names(caplog):
    return [record.event for record in caplog.records]


@pytest.mark.parametrize(
    ("rate", "failed", "noted", "stops"),
    [
        (0.5, [1, 30, 39], [], False),
        (0.5, [1, 40, 41, 50], ["error_limit_near"], False),
        (0.5, [1, 40, 51], ["error_limit_near", "error_limit_passed"], True),
        (0.5, [51], ["error_limit_passed"], True),
        (0.0, [0, 1], ["error_limit_passed"], True),
        (1.0, [60], [], False),  # nothing is limited
    ],
)
def test_a_limit_of_errors_is_warned_of_once_before_it_ends_the_job(
    caplog, rate, failed, noted, stops
):
    limit = ErrorLimit(rate)
    assert [limit.passed(60, count, 100) for count in failed][-1] is stops
    assert names(caplog) == noted


def test_a_limit_that_turns_out_passed_at_the_end_is_noted(caplog):
    limit = ErrorLimit(0.5)
    assert not limit.passed(10, 9, None)  # how many there are is not known
    limit.at_end(10, 5)
    assert names(caplog) == []
    limit.at_end(10, 6)
    assert names(caplog) == ["error_limit_passed"]


def test_answers_that_were_generated_again_are_counted_by_the_unit():
    counts = EventCounts()
    for attempts in ([1, None, 2], [3, 4, 1], [1], []):
        count_retries(pa.table({"attempts": pa.array(attempts, pa.int32())}), counts)
    assert [(one["event"], one["count"]) for one in counts.as_list()] == [
        ("answers_tried_again", 3)
    ]
