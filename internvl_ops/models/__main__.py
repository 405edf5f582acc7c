"""The command `python -m internvl_ops.models`: the family as a table."""

import argparse

from internvl_ops.models.family import family_table

parser = argparse.ArgumentParser(prog="python -m internvl_ops.models", description="Print the InternVL family.")
parser.add_argument("--markdown", action="store_true", help="as Markdown")
options = parser.parse_args()
print(family_table.markdown() if options.markdown else f"{family_table.text()}\n\n{family_table.NOTES}")
