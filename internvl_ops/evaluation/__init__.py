"""Published benchmarks: what each asks, how its rows are read, how answers are scored, and what the family scores."""

from internvl_ops.evaluation.benchmark import Benchmark, Figures, Sample
from internvl_ops.evaluation.declarations import BENCHMARKS, Name
from internvl_ops.evaluation.task import evaluate

__all__ = ["BENCHMARKS", "Benchmark", "Figures", "Name", "Sample", "evaluate"]
