r"""Restores commands of LaTeX that a reader of JSON took for control characters.

A model that forgets to escape backslashes writes ``"\frac{a}{b}"``. That is JSON, and its text
begins with a form feed. No page has form feeds, so these are always commands; a tab or a line end
is one only before the rest of a frequent command's name.
"""

from __future__ import annotations

import re

_ALWAYS = {"\f": "f", "\b": "b"}
_BEFORE = re.compile(
    r"\t(?=(?:heta|au|imes|ext|extbf|extit|frac|ilde|riangle|o|an|anh|op)(?![a-z]))"
    r"|\r(?=(?:ho|ight|ightarrow|angle|ceil|floor|m)(?![a-z]))"
    r"|\n(?=(?:abla|eq|otin|earrow|warrow|subseteq|onumber)(?![a-z]))"
)
# Short names that are words, or parts of them, in a text.
_IN_FORMULAS = re.compile(r"\n(?=(?:u|e|ot|i|eg|mid|leq|geq|less)(?![a-z]))")
_FORMULAS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
_LETTERS = {"\t": "t", "\r": "r", "\n": "n"}


def restored(text: str, *, formula: bool) -> tuple[str, bool]:
    """A text with its commands, and whether some were restored.

    Args:
        text: A text that was read from JSON.
        formula: Whether all of it is a formula; else only what stands between dollar signs is.
    """
    whole = re.sub(r"[\f\b](?=[A-Za-z])", lambda found: f"\\{_ALWAYS[found[0]]}", text)
    spans = re.compile(r".+", re.DOTALL) if formula else _FORMULAS
    whole = spans.sub(lambda found: _commands(found[0]), whole)
    return whole, whole != text


def _commands(formula: str) -> str:
    for pattern in (_BEFORE, _IN_FORMULAS):
        formula = pattern.sub(lambda found: f"\\{_LETTERS[found[0]]}", formula)
    return formula
