"""The part of the labelled texts that the limits were not set on, made by other rules from text
nobody here wrote.

What loops is what a language model does at temperature 0: a character model, counted from Python's
own documentation, says the likeliest character after the last few until it goes round; and
stretches of documentation and sources, cut out blindly and said again. What does not loop is what
Python brings along: documentation, sources, calendars, tables.

Of the first kinds, eight multiplication tables in HTML and JSON were taken for loops at first;
since then tags and numbers are no words. The last five kinds, from sources, came after that, and
nothing was changed for them.
"""

from __future__ import annotations

import argparse
import ast
import calendar
import contextlib
import difflib
import dis
import html.entities
import inspect
import io
import json
import keyword
import mimetypes
import opcode
import pprint
import pydoc_data.topics
import random
import re
import struct
import sysconfig
import textwrap
import tokenize
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

from testing.repetition_texts import Labelled, made
from testing.repetition_writings import CHINESE_PROSE

ROUNDS = 16  # texts of each kind
LIBRARY = Path(sysconfig.get_paths()["stdlib"])


@cache
def _documentation() -> list[str]:
    return [text for _, text in sorted(pydoc_data.topics.topics.items()) if len(text) > 3000]


def _excerpt(text: str, draw: random.Random, longest: int = 6000) -> str:
    size = draw.randint(300, longest)
    start = draw.randrange(max(1, len(text) - size))
    return text[start : start + size]


@cache
def _following(order: int, language: str) -> dict[str, Counter[str]]:
    text = "".join(CHINESE_PROSE) if language == "zh" else "\n".join(_documentation()[:20])
    following: dict[str, Counter[str]] = defaultdict(Counter)
    for end in range(order, len(text)):
        following[text[end - order : end]][text[end]] += 1
    return following


def _greedy(draw: random.Random) -> str:
    """The likeliest next character, until 4,000 are said: finitely many contexts, so it goes
    round."""
    order, language = draw.choice(
        [(3, "en"), (4, "en"), (5, "en"), (6, "en"), (8, "en"), (1, "zh")]
    )
    following = _following(order, language)
    text = draw.choice(sorted(context for context in following if context.isalpha()))
    while len(text) < 4000 and text[-order:] in following:
        text += max(sorted(following[text[-order:]]), key=following[text[-order:]].__getitem__)
    return text


def _sampled(draw: random.Random) -> str:
    """The same model at temperature 1: nonsense, but it does not go round."""
    following = _following(6, "en")
    text = draw.choice(sorted(following))
    while len(text) < 3000 and text[-6:] in following:
        choices = following[text[-6:]]
        text += draw.choices(list(choices), list(choices.values()))[0]
    return text


def _cut_out(draw: random.Random) -> str:
    """Any stretch of 1 to 1,500 characters that has a letter, again and again to 4,000 or more."""
    text = draw.choice(_documentation())
    stretch = ""
    while not any(map(str.isalpha, stretch)):
        stretch = text[(start := draw.randrange(len(text))) : start + int(1500 ** draw.random())]
    size = draw.randint(max(4000, 6 * len(stretch)), 12_000)
    return _excerpt(text, draw, 1500) + (stretch * size)[:size]


def _sentences(draw: random.Random) -> list[str]:
    text = " ".join(draw.choice(_documentation()).split())
    found = re.findall(r"[A-Z][^.!?\"`*|]{30,150}[.!?]", text)
    return draw.sample(found, min(len(found), draw.randint(3, 6))) or [
        "There is nothing more to be said about this."
    ]


def _any_order(draw: random.Random) -> str:
    return " ".join(draw.choices(_sentences(draw), k=draw.randint(40, 80)))


def _numbered(draw: random.Random) -> str:
    sentence, first, step = _sentences(draw)[0], draw.randint(0, 9), draw.choice([1, 1, 1, 2, 10])
    shape = draw.choice(["{}. {} ", "Step {}: {}\n", "[{}] {}\n\n", "({}) {} "])
    return "".join(
        shape.format(first + step * number, sentence) for number in range(draw.randint(15, 90))
    )


def _in_the_middle(draw: random.Random) -> str:
    text = draw.choice(_documentation())
    return (
        _excerpt(text, draw)
        + " ".join(_sentences(draw)[:2] * draw.randint(10, 30))
        + _excerpt(text, draw)
    )


def _source(draw: random.Random) -> str:
    path = draw.choice(sorted(LIBRARY.glob("*.py")))
    with tokenize.open(path) as file:
        return _excerpt(file.read(), draw)


def _calendar(draw: random.Random) -> str:
    plain, pages = calendar.TextCalendar(), calendar.HTMLCalendar()
    return draw.choice([plain.formatyear, pages.formatyear])(draw.randint(1990, 2040))


def _rows(draw: random.Random) -> list[tuple[str, ...]]:
    everything = draw.choice(
        [
            [(name, str(code)) for name, code in html.entities.name2codepoint.items()],
            sorted(mimetypes.MimeTypes().types_map[1].items()),
            [(name, str(code), "") for name, code in opcode.opmap.items()],
            [
                (chr(code), f"U+{code:04X}", unicodedata.name(chr(code), ""), "")
                for code in range(0x2190, 0x23FF)
            ],
            [
                (word, "yes", "yes" if word in keyword.softkwlist else "no")
                for word in keyword.kwlist
            ],
            [(str(row), *(str(row * column) for column in range(1, 13))) for row in range(1, 26)],
            [(f"{code:08b}", f"{code:o}", f"{code:x}", str(code)) for code in range(256)],
        ]
    )
    return list(everything[: draw.randint(10, 120)])


def _html_rows(draw: random.Random) -> str:
    lines = (
        "  <tr>\n" + "".join(f"    <td>{cell}</td>\n" for cell in row) + "  </tr>\n"
        for row in _rows(draw)
    )
    return "<table>\n" + "".join(lines) + "</table>"


def _dumped(draw: random.Random) -> str:
    rows = [{str(number): cell for number, cell in enumerate(row)} for row in _rows(draw)]
    return draw.choice(
        [lambda: json.dumps(rows, indent=1), lambda: pprint.pformat(rows), lambda: json.dumps(rows)]
    )()


def _source_again(draw: random.Random) -> str:
    """Lines of a source file, again and again."""
    lines = _source(draw).splitlines(keepends=True)[1:-1]
    said = "".join(lines[: draw.randint(1, 12)])
    return _source(draw) + (said * (max(4000, 8 * len(said)) // max(1, len(said)) + 1))


def _disassembly(draw: random.Random) -> str:
    functions = [
        value
        for value in vars(draw.choice([argparse, ast, random, textwrap])).values()
        if callable(value)
    ]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for function in draw.sample(functions, 3):
            with contextlib.suppress(TypeError):
                dis.dis(function)
    return _excerpt(printed.getvalue(), draw)


def _tree(draw: random.Random) -> str:
    return _excerpt(
        ast.dump(ast.parse(inspect.getsource(draw.choice([textwrap, random, keyword]))), indent=1),
        draw,
    )


def _differences(draw: random.Random) -> str:
    one, other = (_source(draw).splitlines(keepends=True) for _ in range(2))
    return "".join(draw.choice([difflib.ndiff, difflib.unified_diff])(one, other))


def _bytes(draw: random.Random) -> str:
    data = (
        _source(draw).encode()
        + bytes(draw.randrange(200))
        + struct.pack("<40d", *map(float, range(40)))
    )
    rows = (data[start : start + 16] for start in range(0, len(data), 16))
    return "\n".join(f"{16 * number:08x}  {row.hex(' ')}" for number, row in enumerate(rows))


LOOPS: dict[str, Callable[[random.Random], str]] = {
    "greedy decoding": _greedy,
    "cut out": _cut_out,
    "sentences in any order": _any_order,
    "numbered sentences": _numbered,
    "in the middle of documentation": _in_the_middle,
    "lines of a source": _source_again,
}
PLAIN: dict[str, Callable[[random.Random], str]] = {
    "documentation": lambda draw: _excerpt(draw.choice(_documentation()), draw),
    "python sources": _source,
    "calendars": _calendar,
    "markdown rows": lambda draw: "\n".join("|" + "|".join(row) + "|" for row in _rows(draw)),
    "html rows": _html_rows,
    "columns": lambda draw: "\n".join(
        "".join(f"{cell:<12}" for cell in row) for row in _rows(draw)
    ),
    "dumped values": _dumped,
    "sampled decoding": _sampled,
    "disassembly": _disassembly,
    "syntax trees": _tree,
    "differences": _differences,
    "dumped bytes": _bytes,
}


def held_out_texts() -> list[Labelled]:
    """The texts that the limits were not set on; they differ a little from one version of Python to
    the next."""
    return [*made(LOOPS, True, ROUNDS), *made(PLAIN, False, ROUNDS)]
