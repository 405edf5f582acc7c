"""The probabilities of given answers: how likely a model is to begin its answer with each of some
texts.

The candidates are put into a tree of tokens. At each inner place of the tree the engine says how
likely each next token is, so that candidates which begin alike share the work: the numbers 0 to 10
have one or two inner places, whether ``10`` is one token or two. The figures are exact, not
estimated from samples.

A candidate counts where the answer begins with it and not with a longer candidate: ``1`` has what
remains of its probability after ``10`` is taken off. So the candidates exclude each other, and what
is missing to 1 lies outside of them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.tokenizers.tokenizer import Tokenizer

Ids = tuple[int, ...]
Next = Callable[[Ids, Sequence[int]], Awaitable[Sequence[float]]]
"""Log-probability of each of some tokens after the prompt and these ids of an answer."""

# every template ends its prompt with it, and tokenizers treat the start of a text in another way
_BEFORE = "\n"


def candidate_ids(tokenizer: Tokenizer, candidates: Sequence[str]) -> list[Ids]:
    """The tokens of each candidate at the start of an answer.

    Raises:
        ConfigurationError: Two candidates are the same tokens, or one is none.
    """
    before = tuple(tokenizer.encode(_BEFORE, start=False).tolist())
    found: dict[Ids, str] = {}
    for text in candidates:
        ids = tuple(tokenizer.encode(tokenizer.literal(_BEFORE + text), start=False).tolist())
        if ids[: len(before)] == before:
            ids = ids[len(before) :]
        else:
            ids = tuple(tokenizer.encode(tokenizer.literal(text), start=False).tolist())
        if not ids or ids in found:
            other = repr(found[ids]) if ids else "no answer"
            raise ConfigurationError(
                f"The model's tokenizer cannot tell the answer {text!r} from {other}. Word it in"
                " another way."
            )
        found[ids] = text
    return list(found)


async def log_probabilities(candidates: Sequence[Ids], next_tokens: Next) -> list[float]:
    """Natural logarithm of the probability of each candidate; minus infinity for none at all.

    Args:
        candidates: Their tokens, all different.
        next_tokens: Asked once for each inner place of the tree, for all of them at the same time.
    """
    children: dict[Ids, set[int]] = {}
    for ids in candidates:
        for place, token in enumerate(ids):
            children.setdefault(ids[:place], set()).add(token)
    places = [(prefix, sorted(tokens)) for prefix, tokens in children.items()]
    answers = await asyncio.gather(*(next_tokens(prefix, tokens) for prefix, tokens in places))
    after: dict[Ids, float] = {}
    for (prefix, tokens), log_probs in zip(places, answers, strict=True):
        after |= {(*prefix, token): one for token, one in zip(tokens, log_probs, strict=True)}
    begins = {ids: sum(after[ids[: place + 1]] for place in range(len(ids))) for ids in candidates}
    return [_without_longer(ids, begins) for ids in candidates]


def _without_longer(ids: Ids, begins: dict[Ids, float]) -> float:
    """Log-probability that an answer begins with ``ids``, and with no longer candidate."""
    longer = [other for other in begins if len(other) > len(ids) and other[: len(ids)] == ids]
    outermost = [
        one
        for one in longer
        if not any(one != other and one[: len(other)] == other for other in longer)
    ]
    left = math.exp(begins[ids]) - sum(math.exp(begins[other]) for other in outermost)
    if not outermost:
        return begins[ids]
    return math.log(left) if left > 0 else -math.inf
