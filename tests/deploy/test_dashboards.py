"""The dashboards show what is measured: every query is PromQL, and names metrics and labels that
exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from pipelines.metrics import METRICS, OF_ALL

DASHBOARDS = sorted(Path(__file__).parents[2].glob("deploy/grafana/*.json"))
KNOWN = {metric.exported: {*OF_ALL, *metric.labels} for metric in METRICS}
PARTS = ("expr", "lhs", "rhs", "args", "param", "vector_selector", "vs")


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """All selectors of series in a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for part in PARTS:
        found = getattr(node, part, None)
        for one in found if isinstance(found, list) else [found]:
            if one is not None:
                yield from selectors(one)


def queries(dashboard: Path) -> list[str]:
    return [
        target["expr"]
        for panel in json.loads(dashboard.read_text())["panels"]
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_every_query_names_a_metric_that_exists(dashboard: Path) -> None:
    for query in queries(dashboard):
        named = list(selectors(promql_parser.parse(query)))
        assert named, query
        assert len(named) == len(re.findall(r"\bray_\w+", query)), "a selector was not found"
        for selector in named:
            assert {matcher.name for matcher in selector.matchers.matchers} <= KNOWN[
                selector.name
            ], query


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_the_variables_ask_for_what_exists(dashboard: Path) -> None:
    for variable in json.loads(dashboard.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(
                r"label_values\((\w+), (\w+)\)", variable["definition"]
            ).groups()
            assert label in KNOWN[metric]


def test_every_metric_is_on_a_dashboard_or_a_time() -> None:
    shown = {
        name
        for dashboard in DASHBOARDS
        for query in queries(dashboard)
        for name in re.findall(r"ray_\w+", query)
    }
    assert {metric.exported for metric in METRICS} - shown <= {"ray_internvl_batch_run_seconds"}
