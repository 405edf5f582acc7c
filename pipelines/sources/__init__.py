"""Manifests and media listings as Arrow tables, split by split; no row is lost."""

from pipelines.columns import ERROR_TYPE, MEDIA_TYPE
from pipelines.sources.options import INPUT_FORMATS, SourceOptions, SourcePlan, Split
from pipelines.sources.plan import count_rows, count_split, has_rows, plan_source, read_split

__all__ = [
    "ERROR_TYPE",
    "INPUT_FORMATS",
    "MEDIA_TYPE",
    "SourceOptions",
    "SourcePlan",
    "Split",
    "count_rows",
    "count_split",
    "has_rows",
    "plan_source",
    "read_split",
]
