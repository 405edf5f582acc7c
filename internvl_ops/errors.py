"""Failures as values: what one unit's failure is called, and whether trying again can help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "bad_row",
    "duplicate_id",
    "not_found",
    "refused",
    "too_large",
    "unsupported",
    "corrupt",
    "decoder_crashed",
    "timeout",
    "prompt_too_long",
    "engine_failed",
    "bad_answer",
    "storage",
]
Stage = Literal["read", "explode", "fetch", "decode", "render", "generate", "parse", "write"]

KINDS: tuple[str, ...] = get_args(Kind)
STAGES: tuple[str, ...] = get_args(Stage)

# A failure of these kinds may go away by itself; the others are facts about the input.
RETRIABLE: frozenset[str] = frozenset({"timeout", "engine_failed", "storage"})


@dataclass
class UnitError(Exception):
    """One unit failed; the job goes on.

    Raised anywhere in ``internvl_ops`` for a failure that belongs to one unit. A stage catches it and lets it travel
    with the row to ``errors/``.

    Args:
        stage: Where it happened.
        kind: What it is called in ``errors/``; a closed list.
        message: For the person who reads ``errors/``: the value, what is allowed, the likely mend. No credentials.
        attempts: How often it was tried before giving up.
    """

    stage: Stage
    kind: Kind
    message: str
    attempts: int = 1

    def __post_init__(self) -> None:
        super().__init__(self.stage, self.kind, self.message, self.attempts)  # what pickle rebuilds it from

    @property
    def retriable(self) -> bool:
        return self.kind in RETRIABLE

    def __str__(self) -> str:
        return f"{self.kind} in {self.stage}: {self.message}"


class ConfigurationError(Exception):
    """The job cannot start as configured. Ends a job with exit status 2."""
