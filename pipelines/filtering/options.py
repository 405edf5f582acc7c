"""Options of the command `filter`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FilterOptions(BaseModel):
    """Filter"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str = Field(description="Output of a job: a local folder or a URI. Its results are "
        "judged; nothing in it is changed.")  # fmt: skip
    output: str = Field(description="Where to write the verdicts: results/ with id, verdict, "
        "reasons and duplicate_of, one row per unit of the input; _runs/ with a "
        "report.")  # fmt: skip
    rules: str = Field(
        "card", description="YAML file with the rules. card: those of the InternVL 2.5 card."
    )
    join: tuple[str, ...] = Field((), description="More outputs about the same units, as NAME=URI, "
        "such as scores=s3://bucket/scores. Rules use their columns by name, or as "
        "NAME.column.")  # fmt: skip
    overwrite: bool = Field(False, description="Replace the verdicts of an earlier run.")
