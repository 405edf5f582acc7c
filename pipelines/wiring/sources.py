"""Settles from a job's options how its input is read."""

from __future__ import annotations

import dataclasses

from pipelines.options.job_options import JobOptions
from pipelines.sources import SourceOptions, SourcePlan, plan_source


def plan_of(options: JobOptions) -> SourcePlan:
    """Plans how to read the input of a job.

    Raises:
        ConfigurationError: The input cannot be read.
    """
    return plan_source(source_options(options))


def source_options(options: JobOptions) -> SourceOptions:
    """The part of a job's options that the sources need."""
    return SourceOptions(
        uri=options.input,
        format=options.input_format,
        id_column=options.id_column,
        image_column=options.image_column,
        video_column=options.video_column,
        document_column=options.document_column,
        limit=options.limit,
        **dataclasses.asdict(options.input_needs),
        media_root=options.media_root,
        max_bytes=options.max_bytes,
        names=tuple(name.strip() for name in (options.columns or "").split(",") if name.strip()),
        where=options.where,
        s3_anonymous=options.s3_anonymous,
        s3_requester_pays=options.s3_requester_pays,
    )
