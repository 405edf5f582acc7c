"""What engines of texts' vectors do with the numbers that they are given."""

from __future__ import annotations

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.replies import Numbers, States


def answer_of(
    values: np.ndarray, *, normalise: bool, prompt_tokens: int | None = None
) -> Numbers | States:
    """A vector, or one for each token, as the answer to a request.

    Args:
        values: float32 of shape (size,), or of shape (tokens, size).
        normalise: Give every vector the length one; one of zeros stays.
        prompt_tokens: Length of the text, if it is known.

    Raises:
        UnitError: ``engine_failed``: it holds something else than finite numbers.
    """
    if not np.isfinite(values).all():
        raise UnitError(
            "generate",
            "engine_failed",
            f"the vector holds {np.count_nonzero(~np.isfinite(values))} values that are no finite"
            " numbers",
        )
    if normalise:
        values = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
    if values.ndim > 1:
        return States(np.ascontiguousarray(values, np.float32).tobytes(), prompt_tokens)
    return Numbers(values, prompt_tokens)
