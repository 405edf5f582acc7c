"""Answers one or a few images, PDF pages or videos and shows the answer while it grows: for finding a prompt.

python jobs/preview.py photo.jpg --task ground --phrase "the dog" --model OpenGVLab/InternVL2_5-8B
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


import sys

from internvl_ops.errors import ConfigurationError
from pipelines.commands.preview import PreviewOptions, preview
from pipelines.options.command_line import exit_with, parse_options

if __name__ == "__main__":
    options, _ = parse_options(PreviewOptions, __doc__, positional="inputs", modes=False)
    try:
        sys.exit(preview(options))
    except ConfigurationError as error:
        exit_with(error)
