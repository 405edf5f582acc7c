"""Texts that loop and texts that only look so: what repetition's limits were set on, with
`labelled_texts`.

``repetition_held_out`` makes the second half of the set by other rules, from text that nobody here
wrote.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from testing import repetition_writings as writings


@dataclass(frozen=True)
class Labelled:
    """One text.

    Attributes:
        kind: What sort of text, for the figures.
        text: As a model would answer.
        loops: Whether it repeats itself beyond what people write.
    """

    kind: str
    text: str
    loops: bool


ROUNDS = 12  # texts of each kind

LOOP_WORDS = ["the", "very", "sky", "a cat", "Sunday", "no", "image", "text"]
TIGHT = ["哈", "的", "是的", "图片", "a", "ha", "la", "好的，", "ーン", "하하", "ก"]
CHINESE = [
    "图中有一只白色的猫坐在窗台上。",
    "背景是一座高楼和蓝色的天空。",
    "这张图片展示了一个繁忙的街道，",
    "一个男人穿着红色的衣服站在门口，手里拿着一把伞。",
]
SENTENCES = [
    "The man is wearing a red hat and a blue shirt.",
    "There is a tree in the background.",
    "A small dog runs across the wet grass, and a child follows it.",
    "The sign above the shop door cannot be read from here because it is in the shade of the roof.",
    "In the foreground, a table with plates.",
]


def _prose(draw: random.Random) -> str:
    return draw.choice(writings.PROSE + writings.CHINESE_PROSE)


def _paragraph(draw: random.Random) -> str:
    return " ".join(draw.sample(SENTENCES, 4))


def _endless(unit: str, draw: random.Random, characters: int = 1200) -> str:
    """The unit until a budget is used up, cut where it is; at least eight rounds of it."""
    budget = max(draw.randint(characters, 6 * characters), 8 * len(unit))
    return (unit * (budget // len(unit) + 1))[:budget]


def _after_prose(make: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    return lambda draw: _prose(draw) + draw.choice([" ", "\n", "\n\n"]) + make(draw)


def _tight(draw: random.Random) -> str:
    """Answers of short budgets as well: a hundred characters in all."""
    return draw.choice(TIGHT) * draw.randint(90, 1500)


def _counting(draw: random.Random) -> str:
    unit = draw.choice(
        [
            "{}. the ",
            "Figure {}: The picture shows a cat. ",
            "{}) a red car\n",
            "图{}：一只猫。",
            "步骤{}、点击按钮。\n",
        ]
    )
    return "".join(unit.format(number) for number in range(1, draw.randint(80, 300)))


def _row(draw: random.Random) -> str:
    cells = draw.choices(["Total", "N/A", "12.50", "0", "Berlin", "2021-03-04", "是"], k=5)
    shape = draw.choice(
        ["| {} | {} | {} | {} | {} |\n", "<tr>" + "<td>{}</td>" * 5 + "</tr>\n", "{},{},{},{},{}\n"]
    )
    return shape.format(*["item", *cells[1:]])


def _item(draw: random.Random) -> str:
    return draw.choice(
        [
            '{"label": "car", "bbox_2d": [12, 40, 300, 415]}, ',
            "<ref>person</ref><box>[[120, 240, 310, 480]]</box>\n",
            '    {\n      "name": "Unit price",\n      "value": 12.5\n    },\n',
            "- a person with a bag\n",
            "- a car\n- a tree\n- a house\n",
            "\\frac{a}{b} + ",
        ]
    )


def _signs(draw: random.Random) -> str:
    return _endless(draw.choice(["0 ", ". . ", "_", "|  ", "-", "! ", "1, 2, 3, 4, "]), draw, 2500)


def _sentence(draw: random.Random) -> str:
    return _endless(draw.choice(SENTENCES) + " ", draw)


def _middle(draw: random.Random) -> str:
    return (
        _prose(draw)
        + "\n"
        + _endless(draw.choice(CHINESE + SENTENCES) + " ", draw, 900)
        + "\n"
        + _prose(draw)
    )


def _self_ended(draw: random.Random) -> str:
    return (
        draw.choice(SENTENCES)
        + " "
        + draw.choice(SENTENCES) * draw.randint(6, 15)
        + " That is all."
    )


LOOPS: dict[str, Callable[[random.Random], str]] = {
    "words": _after_prose(
        lambda draw: _endless(draw.choice(LOOP_WORDS) + draw.choice([" ", ", "]), draw, 150)
    ),
    "tight": _tight,
    "tight after prose": _after_prose(_tight),
    "sentences": _after_prose(_sentence),
    "paragraphs": _after_prose(lambda draw: _endless(_paragraph(draw) + "\n\n", draw)),
    "pages": _after_prose(
        lambda draw: _endless("\n".join(draw.sample(writings.PROSE, 3)) + "\n", draw)
    ),
    "chinese sentences": _after_prose(lambda draw: _endless(draw.choice(CHINESE), draw, 150)),
    "chinese paragraphs": lambda draw: _endless("".join(draw.sample(CHINESE, 3)) + "\n", draw, 800),
    "counting": _after_prose(_counting),
    "rows": _after_prose(lambda draw: _endless(_row(draw), draw)),
    "items": _after_prose(lambda draw: _endless(_item(draw), draw)),
    "signs": _after_prose(_signs),
    "in the middle": _middle,
    "ended by itself": _self_ended,
}


def _number(draw: random.Random) -> str:
    return draw.choice(
        [f"{draw.uniform(0, 999):.2f}", str(draw.randrange(10000)), f"{draw.randrange(100)}%", "-"]
    )


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    )


def _html(rows: list[list[str]]) -> str:
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _table(draw: random.Random) -> list[list[str]]:
    names = draw.sample(writings.NAMES, draw.randint(5, len(writings.NAMES)))
    columns = draw.randint(2, 9)
    same = draw.choice(["0", "N/A", "Yes", "-", "", "0.00", "✓", "是"])
    head = ["Name", *(f"{2000 + number}" for number in range(columns))]
    body = [
        [name, *(same if number % 2 else _number(draw) for number in range(columns))]
        for name in names
    ]
    return [head, *body]


def _zeros(draw: random.Random) -> str:
    return draw.choice(
        [
            "\n".join(["0"] * draw.randint(10, 60)),
            "\n".join(["0.00 0.00 0.00"] * draw.randint(10, 40)),
            _markdown([["Month", *"ABCDE"], *([str(month), *["0"] * 5] for month in range(1, 13))]),
            "Status\n"
            + "\n".join([draw.choice(["Yes", "N/A", "OK", "none", "合格"])] * draw.randint(10, 60)),
            json.dumps([[0] * 8] * draw.randint(4, 16)),
        ]
    )


def _boxes(draw: random.Random) -> str:
    labels = draw.sample(["car", "person", "traffic light", "树", "书本"], 2)
    lines = []
    for _ in range(draw.randint(10, 80)):
        label = draw.choice(labels)
        corners = ", ".join(str(draw.randrange(1000)) for _ in range(4))
        lines.append(f"<ref>{label}</ref><box>[[{corners}]]</box>")
    return "\n".join(lines)


def _form(draw: random.Random) -> str:
    fields = draw.sample(
        ["Name", "Date of birth", "Address", "City", "Telephone", "Signature", "姓名", "日期"], 6
    )
    return (
        "\n".join(f"{name}: {'_' * draw.randint(20, 80)}" for name in fields)
        + "\n"
        + ("_" * 70 + "\n") * 8
    )


def _contents(draw: random.Random) -> str:
    page, lines = 1, []
    for number in range(1, draw.randint(12, 40)):
        page += draw.randint(1, 9)
        title = f"{number}. {draw.choice(writings.NAMES)} and {draw.choice(writings.NAMES)} "
        lines.append(title + "." * (60 - len(title)) + f" {page}")
    return "\n".join(lines)


def _list(draw: random.Random) -> str:
    mark = draw.choice(["- ", "* ", "{}. ", "({}) "])
    things = [
        f"a {draw.choice(writings.COLOURS)} {draw.choice(writings.THINGS)}"
        for _ in range(draw.randint(6, 40))
    ]
    return "\n".join(mark.format(number) + thing for number, thing in enumerate(things, 1))


def _labels(draw: random.Random) -> str:
    unit, count = draw.choice(
        [("Week", 26), ("Day", 31), ("Player", 22), ("Chapter", 30), ("第{}章", 30), ("Q", 40)]
    )
    return draw.choice(["\n", " ", ", "]).join(
        unit.format(number) if "{" in unit else f"{unit} {number}" for number in range(1, count + 1)
    )


def _json(draw: random.Random) -> str:
    rows = [
        {
            "id": number,
            "name": draw.choice(writings.NAMES),
            "price": round(draw.uniform(1, 99), 2),
            "in_stock": True,
        }
        for number in range(draw.randint(5, 40))
    ]
    return json.dumps(rows, indent=draw.choice([None, 2]))


def _receipt(draw: random.Random) -> str:
    lines = [
        f"{draw.choice(writings.THINGS):<20}{draw.randint(1, 3)} x {draw.uniform(1, 20):8.2f} EUR"
        for _ in range(18)
    ]
    return "\n".join(
        ["=" * 40, *lines, "-" * 40, f"{'TOTAL':<28}{draw.uniform(50, 200):8.2f} EUR", "=" * 40]
    )


def _formula(draw: random.Random) -> str:
    size = draw.randint(4, 9)
    rows = (" & ".join("1" if i == j else "0" for i in range(size)) for j in range(size))
    return "$$\\begin{pmatrix}\n" + " \\\\\n".join(rows) + "\n\\end{pmatrix}$$"


PLAIN: dict[str, Callable[[random.Random], str]] = {
    "prose": lambda draw: " ".join(draw.sample(writings.PROSE, draw.randint(1, 4))),
    "chinese prose": lambda draw: "".join(draw.sample(writings.CHINESE_PROSE, draw.randint(1, 3))),
    "poems": lambda draw: draw.choice(writings.POEMS),
    "songs": lambda draw: draw.choice(writings.SONGS),
    "code": lambda draw: draw.choice(writings.CODE),
    "markdown tables": lambda draw: _markdown(_table(draw)),
    "html tables": lambda draw: _html(_table(draw)),
    "csv": lambda draw: "\n".join(",".join(row) for row in _table(draw)),
    "zeros and equal cells": _zeros,
    "boxes": _boxes,
    "forms": _form,
    "contents": _contents,
    "lists": _list,
    "numbered labels": _labels,
    "json": _json,
    "receipts": _receipt,
    "formulas": _formula,
}


def made(
    makers: dict[str, Callable[[random.Random], str]], loops: bool, rounds: int
) -> Iterator[Labelled]:
    """The different ones of so many texts of each kind; the same ones every time."""
    for kind, make in makers.items():
        texts = dict.fromkeys(make(random.Random(f"{kind} {number}")) for number in range(rounds))
        yield from (Labelled(kind, text, loops) for text in texts)


def labelled_texts() -> list[Labelled]:
    """The texts the limits were set on."""
    return [*made(LOOPS, True, ROUNDS), *made(PLAIN, False, ROUNDS)]
