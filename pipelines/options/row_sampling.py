"""A row's own sampling, in its column ``sampling_params``, and the ranges of sampling in
general."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from internvl_ops.errors import UnitError

Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
NewTokens = Annotated[int, Field(ge=1, lt=2**31)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=0, lt=2**31)]
RepetitionPenalty = Annotated[float, Field(gt=0, le=2)]


class RowSampling(BaseModel):
    """The fields of a row's ``sampling_params``; fields that it leaves out are as in the job."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_new_tokens: NewTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_new_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    repetition_penalty: RepetitionPenalty | None = None
    seed: Seed | None = None


def row_sampling(given: object) -> dict[str, Any]:
    """A row's own sampling, from a struct, a map or JSON text.

    Raises:
        UnitError: ``bad_row``, with what is allowed.
    """
    try:
        if isinstance(given, str):
            given = given.strip() or None  # an empty cell of a CSV
        given = json.loads(given) if isinstance(given, str) else given
        # a map is a list of pairs
        values = dict(given or {}) if isinstance(given, Mapping | list | None) else given
        if not isinstance(values, dict):
            raise TypeError(f"it is a {type(values).__name__}")
        # A column of structs has every row's fields in every row.
        given = {name: value for name, value in values.items() if value is not None}
        return RowSampling.model_validate(given).model_dump(exclude_none=True)
    except ValidationError as error:
        detail = error.errors()[0]
        name = ".".join(map(str, detail["loc"]))
        message = (
            f"{name} = {detail['input']!r:.80}: {detail['msg']}. Allowed are"
            f" {', '.join(RowSampling.model_fields)}"
        )
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{given!r:.80} is not a JSON object: {error}"
    raise UnitError("render", "bad_row", f"column 'sampling_params': {message}")
