"""The probabilities of given answers from a server, which reports the likeliest tokens as texts.

A candidate counts where the answer begins with it and not with a longer candidate, as in
`internvl_ops.engines.candidates`. What the server does not report, beyond the twenty likeliest
tokens, counts as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword

FirstTokens = Mapping[str, float]  # the probability of each token, by its text


class NoLogProbs(ConfigurationError):
    """A server does not say how likely tokens are."""


def first_tokens(answer: Any) -> FirstTokens:
    """The likeliest first tokens of an answer.

    Raises:
        NoLogProbs: The server reports none.
    """
    try:
        entries = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found: dict[str, float] = {}
        for entry in entries:
            found[str(entry["token"])] = found.get(str(entry["token"]), 0) + math.exp(
                float(entry["logprob"])
            )
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        found = {}
    if not found:
        raise NoLogProbs(
            f"{keyword('engine', 'openai')}: the server reports no top_logprobs, by which the"
            " probabilities of scores and labels are known. Use a server that does, as vLLM's, or"
            f" {keyword('engine', 'vllm')}."
        )
    return found


async def likelihoods(
    candidates: Sequence[str],
    tokens_after: Callable[[str], Awaitable[FirstTokens]],
    *,
    continues: bool,
) -> list[float]:
    """Natural logarithm of the probability of each candidate; minus infinity for none at all.

    Args:
        candidates: Texts, all different.
        tokens_after: Asks the server for the likeliest tokens after the beginning of an answer.
        continues: Whether the server can continue an answer. Without that, a token with which
            several candidates begin belongs to the one that it spells in full.

    Raises:
        ConfigurationError: The server cannot continue an answer, and several candidates begin with
            the same token.
    """
    chances = dict.fromkeys(candidates, 0.0)

    async def walk(said: str, chance: float) -> None:
        for token, share in (await tokens_after(said)).items():
            begun = (said + token).lstrip()
            if not begun:
                continue  # blanks alone, which servers seldom report as a whole answer's beginning
            longer = [one for one in candidates if one.startswith(begun) and one != begun]
            if not longer:
                if (spelled := _spelled(begun, candidates)) is not None:
                    chances[spelled] += chance * share
            elif begun in chances and not continues:
                chances[begun] += chance * share
            elif len(longer) == 1 and begun not in chances:
                chances[longer[0]] += chance * share
            elif continues:
                before = sum(chances[one] for one in longer)
                await walk(begun, chance * share)
                if begun in chances:
                    taken = sum(chances[one] for one in longer) - before
                    chances[begun] = max(0.0, chance * share - taken)
            else:
                raise ConfigurationError(
                    f"{keyword('engine', 'openai')}: {' and '.join(map(repr, longer[:3]))} begin"
                    f" with the same token {begun!r}, and the server cannot continue an answer. Use"
                    f" labels that begin differently, or {keyword('engine', 'vllm')}."
                )

    await walk("", 1.0)
    return [math.log(chances[one]) if chances[one] > 0 else -math.inf for one in candidates]


def _spelled(begun: str, candidates: Sequence[str]) -> str | None:
    """The longest candidate with which a text begins, as ``8`` in ``8.``, unless a letter or digit
    follows it."""
    fits = [
        one
        for one in candidates
        if begun.startswith(one) and not begun[len(one) : len(one) + 1].isalnum()
    ]
    return max(fits, key=len, default=None)
