"""How likely a served model is to answer with each of some texts, by the tokens that its server
reports."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

import pytest

from internvl_ops.engines.served_candidates import FirstTokens, first_tokens, likelihoods
from internvl_ops.errors import ConfigurationError

SCALE = tuple(map(str, range(11)))


def found(
    candidates: Sequence[str], tokens: Mapping[str, FirstTokens], *, continues: bool = True
) -> dict[str, float]:
    async def tokens_after(said: str) -> FirstTokens:
        return tokens[said]

    log_probs = asyncio.run(likelihoods(candidates, tokens_after, continues=continues))
    return {
        text: math.exp(one)
        for text, one in zip(candidates, log_probs, strict=True)
        if one > -math.inf
    }


def test_a_ten_of_two_tokens_is_told_from_a_one() -> None:
    tokens = {"": {"7": 0.5, "1": 0.4, "The": 0.1}, "1": {"0": 0.75, ".": 0.2}}
    assert found(SCALE, tokens) == pytest.approx({"7": 0.5, "1": 0.1, "10": 0.3})


def test_a_ten_of_one_token_needs_no_second_question() -> None:
    assert found(SCALE, {"": {"7": 0.5, "10": 0.4}}) == pytest.approx({"7": 0.5, "10": 0.4})


def test_where_a_server_cannot_continue_a_token_is_what_it_spells() -> None:
    assert found(SCALE, {"": {"1": 0.4, " 10": 0.2, "8.": 0.1}}, continues=False) == pytest.approx(
        {"1": 0.4, "10": 0.2, "8": 0.1}
    )


def test_the_only_label_that_begins_so_has_the_token() -> None:
    tokens = {"": {"photo": 0.5, "draw": 0.25, "dr": 0.125}}
    assert found(["photograph", "drawing"], tokens) == pytest.approx(
        {"photograph": 0.5, "drawing": 0.375}
    )


def test_labels_that_begin_alike_need_a_server_that_continues() -> None:
    tokens = {"": {"a": 1.0}, "a": {" dog": 0.5, " cat": 0.25}}
    assert found(["a dog", "a cat"], tokens) == pytest.approx({"a dog": 0.5, "a cat": 0.25})
    with pytest.raises(ConfigurationError, match="begin with the same token 'a'"):
        found(["a dog", "a cat"], tokens, continues=False)


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": []}, {"content": [{"top_logprobs": []}]}]
)
def test_a_server_that_reports_nothing_ends_the_job(logprobs: object) -> None:
    with pytest.raises(ConfigurationError, match="reports no top_logprobs"):
        first_tokens({"choices": [{"logprobs": logprobs}]})
