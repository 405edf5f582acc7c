"""A short chaos run; `make chaos` is the long one."""

import pytest

from tests import chaos

pytestmark = pytest.mark.slow


def test_after_faults_at_random_times_the_output_is_that_of_an_undisturbed_run():
    assert chaos.run(rows=300, faults=6, minutes=12, seed=1) == []
