"""Host memory over a long run: the GPU actor and the driver hold no more at its end than after its
warm-up."""

import pytest

from benchmarks.bench_memory import ROLES, halves, run

ROWS = 5000
GROWTH = 1.05


@pytest.mark.slow
def test_memory_of_the_gpu_actor_and_of_the_driver_is_flat_over_5000_rows(tmp_path):
    sampler, results = run(ROWS, tmp_path)
    assert results == ROWS
    for role in ROLES:
        first, second = halves(sampler, role, ROWS)
        assert second < first * GROWTH, (
            f"{role}: {first:.0f} MiB in the first half, {second:.0f} in the second"
        )
