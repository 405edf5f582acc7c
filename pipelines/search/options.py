"""Options of the command `search`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from internvl_ops.evaluation.vector_benchmarks import RetrievalName


class SearchOptions(BaseModel):
    """Search"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str = Field(
        description="Output of the command embed: a local folder or a URI. It is not changed."
    )
    query_id: tuple[str, ...] = Field(
        (), description="Find what is near to this unit. Repeat for more."
    )
    query_text: tuple[str, ...] = Field((), description="Find what this text says, in vectors of "
        "InternVL-14B-224px or of an encoder of texts. Repeat for more.")  # fmt: skip
    query_image: tuple[str, ...] = Field((), description="Find what looks like this picture: a "
        "path or URI. Repeat for more.")  # fmt: skip
    queries: str | None = Field(None, description="Find what is near to each unit of this output "
        "of the command embed.")  # fmt: skip
    top: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="Number of units to find for each query."
    )
    where: str | None = Field(None, description="Search only the units for which this is true: a "
        "condition in SQL over their columns.")  # fmt: skip
    model: str | None = Field(None, description="Where the checkpoint of the vectors is now, for "
        "--query-text and --query-image. Default: where it was when they were made.")  # fmt: skip
    base_url: str | None = Field(
        None, description="Address of the server, for --query-text in vectors that a server made."
    )
    index: str | None = Field(None, description="Search by the approximate index in this local "
        "file, which is made if it is not there or not of these vectors. Default: exact, by "
        "comparing with every vector.")  # fmt: skip
    output: str | None = Field(None, description="Where to write what --queries finds: results/ "
        "with id and matches, a list of id and similarity.")  # fmt: skip
    overwrite: bool = Field(False, description="Replace what an earlier search wrote to --output.")
    truth_column: str | None = Field(None, description="Column of --queries with the id, or the "
        "ids, of the right units: print how often one of them is among the first 1, 5 and "
        "10.")  # fmt: skip
    benchmark: RetrievalName | None = Field(None, description="Benchmark to which the input "
        "belongs: print its published figures beside those of --truth-column.")  # fmt: skip
