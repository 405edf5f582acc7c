"""Finds boxes whose numbers have names, in any order: corners (``Top-left: (12, 8)``) or edges
(``x1: 12, y1: 8``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

NUMBER = r"(?<![\w.])[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d{1,3})?(?![A-Za-z\d._])(?: ?%)?"

_EDGE = r"(?:[ _-]?(?:edge|side|border|boundary|bound|coordinate)s?)?"
_RIM = r"(?:边|侧)?(?:界|缘|框)?"
_SIDES = {
    "x1": rf"x[ _-]?(?:1|min|left|start)|left{_EDGE}|左{_RIM}|左上角?的?x",
    "y1": rf"y[ _-]?(?:1|min|top|start)|top{_EDGE}|上{_RIM}|左上角?的?y",
    "x2": rf"x[ _-]?(?:2|max|right|end)|right{_EDGE}|右{_RIM}|右下角?的?x",
    "y2": rf"y[ _-]?(?:2|max|bottom|end)|bottom{_EDGE}|下{_RIM}|右下角?的?y",
    "x": "x(?:[ -](?:range|axis|coordinate)s?)?",
    "y": "y(?:[ -](?:range|axis|coordinate)s?)?",
    "w": "w(?:idth)?|宽度?",
    "h": "h(?:eight)?|高度?",
}
_UPPER, _LOWER, _CORNER = (
    "(?:top|upper)",
    "(?:bottom|lower)",
    r"(?:[ _-]?(?:corner|point|vertex|coordinate|coord)s?)*",
)
_X1, _Y1, _X2, _Y2 = "x_?(?:1|min)", "y_?(?:1|min)", "x_?(?:2|max)", "y_?(?:2|max)"
_CORNERS = {
    "tl": rf"{_UPPER}[ _-]?left{_CORNER}|左上角?|"
    rf"(?:start(?:ing)?|first)[ _-](?:point|corner)|start|min|TL|\(?{_X1}, ?{_Y1}\)?",
    "tr": rf"{_UPPER}[ _-]?right{_CORNER}|右上角?|TR|\(?{_X2}, ?{_Y1}\)?",
    "bl": rf"{_LOWER}[ _-]?left{_CORNER}|左下角?|BL|\(?{_X1}, ?{_Y2}\)?",
    "br": rf"{_LOWER}[ _-]?right{_CORNER}|右下角?|"
    rf"(?:end(?:ing)?|second)[ _-](?:point|corner)|end|max|BR|\(?{_X2}, ?{_Y2}\)?",
}
_IS = (
    r"""(?:[\s"'*_`:=]|\b(?:is|are|at|located|of the (?:bounding )?box|from|between)\b"""
    r"""|的|坐标|顶点|点|为|是|在|位于|\(x, ?y\)){1,12}+"""
)
_POINT = (
    rf"[\[(]{{0,2}}\s?(?:x ?[:=] ?)?{NUMBER} ?(?:[,;]\s?|\s)(?:y ?[:=] ?)?{NUMBER}\s?[\])]{{0,2}}"
)


def _any_of(names: dict[str, str]) -> str:
    return "|".join(f"(?P<{key}>{pattern})" for key, pattern in names.items())


_ENTRY = re.compile(
    r"(?<![A-Za-z\d])(?:(?:\d{1,2}[.)]|the|its)\s{1,3}[*_`]{0,3})?"
    rf"(?:(?:{_any_of(_CORNERS)})(?:{_IS}|(?=[(\[]))(?P<point>{_POINT})"
    rf"|(?:{_any_of(_SIDES)})(?![A-Za-z\d]){_IS}[\[(]?"
    rf"(?P<side>{NUMBER}(?:(?<=\d) ?(?:[-–~]|to|and|[到至]) ?{NUMBER})?))",
    re.IGNORECASE | re.ASCII,
)
_NUMBERS = re.compile(NUMBER, re.ASCII)
_BETWEEN = re.compile(
    r"""(?:[\s,;.*_`"'•\[\](){}-]|\d[.)]\s|\b(?:and|the|to|its|with|those|coordinates?|of)\b|[和与到至且而])*+""",
    re.IGNORECASE,
)
_REACH = 60  # maximum characters between two names of one box
_COMPLETE = (
    {"x1", "y1", "x2", "y2"},
    {"x1", "y1", "w", "h"},
    {"x", "y", "w", "h"},
    {"tl", "br"},
    {"tr", "bl"},
    {"tl", "w", "h"},
)
# The text between two points that are the corners of a box.
_JOINED = re.compile(
    rf"(?P<first>[(\[]\s?{NUMBER}\s?[,;]\s?{NUMBER}\s?[)\]])"
    r"(?P<between>(?:[\s,;:.*~→>–—-]|\b(?:to|and|at|in|the|through|until|top|bottom|upper|lower|left|right|corner)\b"
    r"|[到至和与、]){1,60}+)"
    rf"(?=[(\[]\s?{NUMBER}\s?[,;]\s?{NUMBER}\s?[)\]])",
    re.IGNORECASE | re.ASCII,
)


class Named(NamedTuple):
    """A box whose numbers have names.

    Attributes:
        start: Start of the first name; in JSON, of the first number.
        end: End of the last number.
        numbers: Left, upper, right and lower edge, as written.
    """

    start: int
    end: int
    numbers: list[str]


def find_named(plain: str) -> list[Named]:
    """All boxes in the text whose edges or corners are named."""
    found: list[Named] = []
    run: dict[str, list[str]] = {}
    start = end = 0
    for entry in _ENTRY.finditer(plain):
        name = str(next(key for key in (*_CORNERS, *_SIDES) if entry[key] is not None))
        between = plain[end : entry.start()]
        if name in run or len(between) > _REACH or not _BETWEEN.fullmatch(between):
            found += _boxes(run, start, end)
            run = {}
        if not run:
            quoted = plain[entry.start() - 1 : entry.start()] in ('"', "'")
            start = entry.start("point" if entry["point"] else "side") if quoted else entry.start()
        numbers = _NUMBERS.findall(entry["point"] or entry["side"])
        run |= (
            {f"{name}1": numbers[:1], f"{name}2": numbers[1:], name: numbers}
            if _is_range(entry)
            else {name: numbers}
        )
        end = entry.end()
    last = next(reversed(run), "")
    if end == len(plain) and last in ("bl", "br") and _is_cut_off(run, last):
        run = {}
    return [*found, *_boxes(run, start, end)]


def joined_points(plain: str) -> str:
    """The same text with spaces in place of words between the two corners of a box, ``(1, 2) to (3,
    4)``."""
    return _JOINED.sub(lambda pair: pair["first"] + " " * len(pair["between"]), plain)


def thousandths(number: str) -> str:
    """A percentage in thousandths; any other number unchanged. It has no point, so it does not
    count as a fraction."""
    if not number.endswith("%"):
        return number
    value = float(number.rstrip("% ")) * 10
    return f"{round(max(-1e9, min(value, 1e9)) * 1000)}e-3"


def _is_range(entry: re.Match[str]) -> bool:
    """Whether an entry gives both edges of an axis: ``x: 12-64``."""
    return (entry["x"] or entry["y"]) is not None and len(_NUMBERS.findall(entry["side"])) == 2


def _boxes(run: dict[str, list[str]], start: int, end: int) -> Iterator[Named]:
    names = run.keys()
    if not any(complete <= names for complete in _COMPLETE):
        return
    points = [run[name] for name in _CORNERS if name in run]
    if len(points) == 1 and {"tl", "w", "h"} <= names:
        run = run | {"x": points[0][:1], "y": points[0][1:]}
    elif len(points) > 1:
        across, down = (sorted((point[axis] for point in points), key=_value) for axis in (0, 1))
        yield Named(start, end, [across[0], down[0], across[-1], down[-1]])
        return
    x, y = (run.get(f"{axis}1") or run[axis] for axis in "xy")
    right = run["x2"][0] if "x2" in run else _sum(x[0], run["w"][0])
    lower = run["y2"][0] if "y2" in run else _sum(y[0], run["h"][0])
    yield Named(start, end, [x[0], y[0], right, lower])


def _is_cut_off(run: dict[str, list[str]], last: str) -> bool:
    """Whether the answer is cut off in the number of a lower edge: it is then less than that of an
    upper edge."""
    return any(_value(run[last][1]) < _value(run[name][1]) for name in ("tl", "tr") if name in run)


def _value(number: str) -> float:
    return float(thousandths(number))


def _sum(first: str, second: str) -> str:
    """The sum of two numbers; a percentage, or a number with a point, if they are."""
    sign = "%" if "%" in first + second else ""
    places = max(len(number.rstrip("% ").partition(".")[2]) for number in (first, second))
    total = max(-1e99, min(float(first.rstrip("% ")) + float(second.rstrip("% ")), 1e99))
    return f"{total:.{min(places, 9)}f}{sign}"
