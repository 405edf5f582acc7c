"""Published benchmarks: their questions, rows and scores, and the family's published figures."""

from internvl_ops.evaluation.benchmark import Benchmark, Figures, Sample
from internvl_ops.evaluation.declarations import BENCHMARKS, Name
from internvl_ops.evaluation.task import evaluate

__all__ = ["BENCHMARKS", "Benchmark", "Figures", "Name", "Sample", "evaluate"]
