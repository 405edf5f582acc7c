"""The benchmark that the options of a job name."""

from __future__ import annotations

from typing import Any

from internvl_ops.evaluation import BENCHMARKS, Benchmark


def asked_benchmark(options: Any) -> Benchmark:
    """The benchmark with the settings of the options."""
    benchmark = BENCHMARKS[options.benchmark].for_release(options.release)
    return benchmark if options.subtitles is None else benchmark.with_subtitles()
