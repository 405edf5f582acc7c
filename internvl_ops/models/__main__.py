"""The command `python -m internvl_ops.models`: the family as a table."""

import argparse
import re
from pathlib import Path

from internvl_ops.models import family_table

MARKS = ("<!-- family: made by python -m internvl_ops.models --readme README.md -->", "<!-- /family -->")

parser = argparse.ArgumentParser(prog="python -m internvl_ops.models", description="Print the InternVL family.")
parser.add_argument("--markdown", action="store_true", help="as Markdown")
parser.add_argument("--readme", type=Path, help="write it between the marks of this file instead of printing it")
options = parser.parse_args()

if options.readme:
    content = options.readme.read_text(encoding="utf-8")
    block = "\n\n".join([MARKS[0], family_table.markdown(), MARKS[1]])
    pattern = re.compile(f"{re.escape(MARKS[0])}.*?{re.escape(MARKS[1])}", re.DOTALL)
    if not pattern.search(content):
        parser.error(f"--readme {options.readme}: has no lines {MARKS[0]} and {MARKS[1]}. Add them where it is to go.")
    options.readme.write_text(pattern.sub(lambda _: block, content), encoding="utf-8")
else:
    print(family_table.markdown() if options.markdown else f"{family_table.text()}\n\n{family_table.NOTES}")
