from pipelines.options.job_options import JobOptions
from pipelines.options.row_sampling import row_sampling

__all__ = ["JobOptions", "row_sampling"]
