"""Judges every unit of an output by rules in a YAML file: keep, drop or review, with all reasons. Needs no GPU.

python jobs/filter_dataset.py --input s3://bucket/captions \\
    --output s3://bucket/verdicts \\
    --rules rules.yaml
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


import sys

from internvl_ops.errors import ConfigurationError
from pipelines.commands.filter import FilterOptions, run_filter
from pipelines.options.command_line import exit_with, parse_options

if __name__ == "__main__":
    options, _ = parse_options(FilterOptions, __doc__, modes=False)
    try:
        sys.exit(run_filter(options))
    except ConfigurationError as error:
        exit_with(error)
    except OSError as error:
        exit_with(error, 1)
