"""Formulas of a page, and LaTeX in one spelling, so that two formulas can be compared as tokens.

What a formula looks like is not compared: that takes a browser. Spellings that look alike, such as
``\\dfrac`` and ``\\frac`` or ``x^{2}`` and ``x^2``, become one; spaces, sizes and fonts are left
out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|\S", re.DOTALL)
_DELIMITED = (
    re.compile(r"\\\((.+?)\\\)", re.DOTALL),
    re.compile(r"\\\[(.+?)\\\]", re.DOTALL),
)
_DOLLARS = (re.compile(r"\$\$(.+?)\$\$", re.DOTALL), re.compile(r"\$(.+?)\$", re.DOTALL))
_NUMBERS = re.compile(r"\\(?:label|tag|hspace|vspace)\*?\s*\{[^{}]*\}")
_SPACES = (",", ";", ":", "!", ">", " ", "quad", "qquad", "thinspace", "medspace")
_SIZES = ("left", "right", "middle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
          "biggl", "biggr", "Biggl", "Biggr", "displaystyle", "textstyle", "scriptstyle", "limits",
          "nolimits")  # fmt: skip
_FONTS = ("mathrm", "mathbf", "mathit", "mathsf", "mathtt", "mathnormal", "bm", "boldsymbol",
          "text", "textbf", "textit", "textrm", "mbox", "operatorname", "operatorname*", "rm", "bf",
          "it")  # fmt: skip
_LEFT_OUT = {f"\\{name}" for name in (*_SPACES, *_SIZES, *_FONTS, "nonumber", "notag")} | set("&~$")
_SAME = {
    r"\le": r"\leq", r"\ge": r"\geq", r"\ne": r"\neq", r"\dfrac": r"\frac", r"\tfrac": r"\frac",
    r"\cfrac": r"\frac", r"\dbinom": r"\binom", r"\tbinom": r"\binom", r"\to": r"\rightarrow",
    r"\gets": r"\leftarrow", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\vert": "|",
    r"\lvert": "|", r"\rvert": "|", r"\mid": "|", r"\Vert": r"\|", r"\lVert": r"\|",
    r"\rVert": r"\|", r"\ast": "*", r"\cdots": r"\dots", r"\ldots": r"\dots", r"\lbrack": "[",
    r"\rbrack": "]", r"\land": r"\wedge", r"\lor": r"\vee", r"\lnot": r"\neg",
    r"\implies": r"\Rightarrow", r"\iff": r"\Leftrightarrow", r"\prime": "'", "′": "'",
    r"\colon": ":", "−": "-", "·": r"\cdot", "×": r"\times", "≤": r"\leq", "≥": r"\geq",
    "≠": r"\neq", "∞": r"\infty", "→": r"\rightarrow", "∈": r"\in", "±": r"\pm",
}  # fmt: skip


def formulas_in(text: str, *, dollars: bool = True) -> list[str]:
    r"""The formulas of a text, without what delimits them: ``\(…\)``, ``\[…\]`` and, with
    ``dollars``, ``$$…$$`` and ``$…$``."""
    found: list[str] = []
    for pattern in (*_DELIMITED, *(_DOLLARS if dollars else ())):
        found += [formula.strip() for formula in pattern.findall(text)]
        text = pattern.sub("", text)
    return found


def formula_tokens(latex: str) -> list[str]:
    """The tokens of a formula in one spelling."""
    whole = [_SAME.get(token, token) for token in _TOKEN.findall(_NUMBERS.sub("", latex))]
    tokens = [token for token in whole if token not in _LEFT_OUT]
    while tokens != (tokens := _without_needless_braces(tokens)):
        pass
    return _sorted_scripts(tokens)


def contains(whole: Sequence[str], part: Sequence[str]) -> bool:
    """Whether the tokens of ``part`` stand one after the other in ``whole``."""
    size = len(part)
    starts = range(len(whole) - size + 1)
    return any(list(whole[start : start + size]) == list(part) for start in starts)


def _without_needless_braces(tokens: list[str]) -> list[str]:
    """``{x}`` as ``x``, and ``^'`` as ``'``."""
    kept: list[str] = []
    for token in tokens:
        kept.append(token)
        if kept[-3:-2] == ["{"] and token == "}" and kept[-2] not in "{}":
            kept[-3:] = [kept[-2]]
        if kept[-2:] == ["^", "'"]:
            kept[-2:] = ["'"]
    return kept


def _sorted_scripts(tokens: list[str]) -> list[str]:
    """What stands below before what stands above: ``x^b_a`` as ``x_a^b``."""
    found: list[str] = []
    place = 0
    while place < len(tokens):
        upper = _script_end(tokens, place, "^")
        lower = _script_end(tokens, upper, "_") if upper > place else place
        if lower > upper > place:
            found += tokens[upper:lower] + tokens[place:upper]
            place = lower
        else:
            found.append(tokens[place])
            place += 1
    return found


def _script_end(tokens: list[str], start: int, sign: str) -> int:
    """Where a script that begins at ``start`` ends; ``start`` if none begins there."""
    if start + 1 >= len(tokens) or tokens[start] != sign:
        return start
    depth, place = 0, start + 1
    while place < len(tokens):
        depth += {"{": 1, "}": -1}.get(tokens[place], 0)
        place += 1
        if depth <= 0:
            return place
    return start
