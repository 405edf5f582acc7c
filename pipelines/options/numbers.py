"""Numbers of options, with the limits above which libraries fail at the number itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import (
    Field,
)

if TYPE_CHECKING:
    pass

# Limits above which libraries fail at the number itself.
Positive = Annotated[int, Field(ge=1, le=2**53)]
PositiveSeconds = Annotated[int, Field(ge=1, le=10**8)]
Places = Annotated[int, Field(ge=1, le=10**6)]
PlacesOrNone = Annotated[int, Field(ge=0, le=10**6)]
MebiBytes = Annotated[int, Field(ge=1, le=4096)]
Fraction = Annotated[float, Field(ge=0, le=1)]
