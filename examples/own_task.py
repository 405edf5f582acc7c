"""A task of your own: which colours are in a picture. Read from top to bottom; the end shows how it
is run.

    internvl-batch run --task examples.own_task:colours --colours red,blue --input
    examples/demo/images \\
        --output colours --model examples/nano/checkpoint

A task asks the model something about each image, page or video, and makes columns of its answers.
It needs no code of Ray or vLLM, and it is tested by calling two functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, Field

from internvl_batch import Answered, Conversation, RegisteredTask, Task, UnitError


# 1. Its options. Each is a flag of the command, a key of --config, and a keyword argument in
# Python.
class ColourOptions(BaseModel):
    """Colours"""

    colours: str = Field(
        "red,orange,yellow,green,blue,purple,black,white",
        description="Colours to look for, with commas between them.",
    )


# 2. Its columns. They stand in results/ beside the raw answer, the tokens, and your own columns.
COLUMNS = pa.schema([("colours", pa.list_(pa.string())), ("first_colour", pa.string())])


# 3. What it asks and how it reads the answer, for the options of one job.
def make_colours(options: Any, media: str, columns: Sequence[str]) -> Task:
    """The task for one job.

    Args:
        options: The options above, and those of every job, such as ``options.prompt``.
        media: "image", "document" or "video".
        columns: The columns of the input.
    """
    known = [colour.strip() for colour in options.colours.split(",") if colour.strip()]
    prompt = options.prompt or "Provide a one-sentence caption for the provided image."

    def converse(row: Any) -> list[Conversation]:
        """The questions about one row; here it may have its own in the column `question`."""
        return [Conversation((row.get("question") or prompt,), max_new_tokens=30)]

    def parse(answered: Answered) -> dict[str, object]:
        """A value for each column. `UnitError` makes the row an error; nothing that is raised ends
        the job."""
        words = re.findall(r"[a-z]+", answered.response.lower())
        if not words:
            raise UnitError("parse", "bad_answer", "the answer has no words")
        found = [word for word in dict.fromkeys(words) if word in known]
        return {"colours": found, "first_colour": found[0] if found else None}

    return Task(
        name="colours",
        prompt=prompt,
        columns=COLUMNS,
        converse=converse,
        parse=parse,
        max_new_tokens=30,
        reads=("question",),
    )


# 4. What the commands need to know of it. The tiles are the default of --max-tiles.
colours = RegisteredTask(
    "colours", ColourOptions, make_colours, tiles=6, media=("image", "document", "video")
)

# It runs in every command, without a change to this package:
#
#   internvl-batch run --task examples.own_task:colours …
#   internvl-batch annotate --tasks caption,examples.own_task:colours …
#   internvl-batch preview photo.jpg --task examples.own_task:colours …
#
# and in Python, over a folder or over a Dataset:
#
#   internvl_batch.run("examples.own_task:colours", "images/", "colours/", model=…,
# colours="red,blue") internvl_batch.run(colours, ray.data.read_parquet(…), model=…,
# colours="red,blue")
# An installed package gives it a name of its own by an entry point:
#
#   [project.entry-points."internvl_batch.tasks"]
#   colours = "my_package.tasks:colours"
