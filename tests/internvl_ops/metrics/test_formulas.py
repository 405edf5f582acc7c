"""Formulas of a page, and LaTeX in one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.metrics.formulas import contains, formula_tokens, formulas_in


def test_formulas_in_every_delimiter() -> None:
    text = r"a \(x\) b \[y\] c $$ z $$ and $w$, 5 apples"
    assert formulas_in(text) == ["x", "y", "z", "w"]
    assert formulas_in(text, dollars=False) == ["x", "y"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"x^{2}", "x ^ 2"),
        (r"\dfrac{a}{b}", r"\frac ab"),
        (r"\left( a \right)", "(a)"),
        (r"a \leq b", r"a\le b"),
        (r"x^b_a", "x_{a}^{b}"),
        (r"x^{b+c}_{a}", "x_a^{b+c}"),
        (r"f^{\prime}(x)", "f'(x)"),
        (r"\mathbf{x} \, + ~ y", "x+y"),
        (r"a = b \tag{1}", "a=b"),
        (r"a ≤ b", r"a \leq b"),
    ],
)
def test_spellings_that_look_alike_are_one(one: str, other: str) -> None:
    assert formula_tokens(one) == formula_tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("x^2", "x_2"), ("x^{2a}", "x^2a"), (r"\frac{a}{bc}", r"\frac{ab}{c}"), ("ab", "ba")],
)
def test_what_looks_different_stays_different(one: str, other: str) -> None:
    assert formula_tokens(one) != formula_tokens(other)


def test_a_formula_is_found_within_another() -> None:
    whole = formula_tokens(r"\int_a^b{ 3x ^ 2dx}")
    assert contains(whole, formula_tokens("3x^{2}"))
    assert not contains(whole, formula_tokens("3x^{3}"))


@given(st.text(r"\{}^_ab' $&", max_size=30))
def test_any_text_has_tokens(text: str) -> None:
    assert all(formula_tokens(text))
