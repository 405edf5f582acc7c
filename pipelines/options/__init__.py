from pipelines.options.job_options import JobOptions, row_sampling

__all__ = ["JobOptions", "row_sampling"]
