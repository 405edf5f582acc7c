"""The benchmarks as a Markdown table, for docs/evaluation.md."""

from __future__ import annotations

from internvl_ops.evaluation.benchmark import Benchmark
from internvl_ops.evaluation.declarations import BENCHMARKS
from internvl_ops.evaluation.published import PUBLISHED


def benchmark_markdown() -> str:
    """A Markdown table with one row per benchmark."""
    lines = [
        "| benchmark | figure | asks | tiles | new tokens | columns it needs | published models |",
        "|---|---|---|---:|---:|---|---:|",
    ]
    for name, one in BENCHMARKS.items():
        shown = f"{one.num_frames} frames" if one.media == "video" else f"{one.max_tiles}"
        columns = "; ".join(
            " or ".join(f"`{column}`" for column in names) for names in one.needs.values()
        )
        models = len(PUBLISHED[name].models) if name in PUBLISHED else ""
        lines.append(
            f"| `{name}` | {one.title}: {one.metric} | {_prompt(one)} | {shown} | {_lengths(one)} |"
            f" {columns} | {models} |"
        )
    return "\n".join(lines)


def _lengths(benchmark: Benchmark) -> str:
    least = f"{benchmark.min_new_tokens} to " if benchmark.min_new_tokens > 1 else ""
    return f"{least}{benchmark.max_new_tokens:,}"


def _prompt(benchmark: Benchmark) -> str:
    text = benchmark.prompt.replace("\n", "⏎")
    return f"`{text}`"
