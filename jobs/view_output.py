"""Shows outputs in a browser on this machine: units with their pictures, boxes and answers, to look at and to mark.

python jobs/view_output.py captions/ captions-of-another-model/
"""

import sys

from internvl_ops.errors import ConfigurationError
from pipelines.commands.view import ViewOptions, view
from pipelines.options.command_line import exit_with, parse_options

if __name__ == "__main__":
    options, _ = parse_options(ViewOptions, __doc__, positional="outputs", modes=False)
    try:
        sys.exit(view(options))
    except ConfigurationError as error:
        exit_with(error)
