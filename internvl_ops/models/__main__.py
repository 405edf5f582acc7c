"""The command `internvl-batch models`, or `python -m internvl_ops.models`: the family as a
table."""

import argparse
from collections.abc import Sequence

from internvl_ops.errors import respelled
from internvl_ops.models.family import family_table

_OPTIONS = {"tensor_parallel": "--gpus-per-engine"}  # of the jobs, which load what the table lists


def main(program: str, argv: Sequence[str] | None = None) -> None:
    """Prints the table.

    Args:
        program: Name of the program in ``--help``.
        argv: Its arguments; those of the process by default.
    """
    parser = argparse.ArgumentParser(prog=program, description="Print the InternVL family.")
    parser.add_argument("--markdown", action="store_true", help="as Markdown")
    options = parser.parse_args(argv)
    said = (
        family_table.family_markdown()
        if options.markdown
        else f"{family_table.text()}\n\n{family_table.TABLE_NOTES}"
    )
    print(respelled(said, lambda name, valued: _OPTIONS[name] + " " * valued))


if __name__ == "__main__":
    main("python -m internvl_ops.models")
