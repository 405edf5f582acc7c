"""The forms of facts of olmOCR-Bench about marks in a text: headings, bold and italic text, and
footnotes.

Their rules are those of the benchmark's own code since 2026; its first data have none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rapidfuzz import fuzz

from internvl_ops.evaluation.olmocr_text import normalised

# How Markdown and HTML mark a text, by the name of the format. A tag is told by how it begins, so
# that <b> is also <blockquote>: so the benchmark counts.
FORMATS: dict[str, tuple[re.Pattern[str], ...]] = {
    "heading": (
        re.compile(r"^#{1,6}\s+(.+?)$", re.MULTILINE),
        re.compile(r"<h[1-6][^>]*>(.*?)</h[1-6]>", re.IGNORECASE | re.DOTALL),
    ),
    "bold": (
        re.compile(r"\*\*(.*?)\*\*", re.DOTALL),
        re.compile(r"__(.*?)__", re.DOTALL),
        re.compile(r"<b[^>]*>(.*?)</b>", re.IGNORECASE | re.DOTALL),
        re.compile(r"<strong[^>]*>(.*?)</strong>", re.IGNORECASE | re.DOTALL),
    ),
    "italic": (
        re.compile(r"(?<!\*)\*(?!\*)(.*?)(?<!\*)\*(?!\*)", re.DOTALL),
        re.compile(r"(?<!_)_(?!_)(.*?)(?<!_)_(?!_)", re.DOTALL),
        re.compile(r"<i[^>]*>(.*?)</i>", re.IGNORECASE | re.DOTALL),
        re.compile(r"<em[^>]*>(.*?)</em>", re.IGNORECASE | re.DOTALL),
    ),
}
BESIDE = ("appears_before_marker", "appears_after_marker")
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NEAR = 200  # characters beside a marker that are looked at


def check_marks(fact: Mapping[str, Any]) -> None:
    """Refuses a fact of form ``format`` or ``footnote`` that cannot be checked.

    Raises:
        ValueError: It says what is needed.
    """
    if fact["type"] == "format" and fact["format"] not in FORMATS:
        raise ValueError(f"format is {fact['format']!r:.80}; one of {', '.join(FORMATS)} is needed")
    if fact["type"] == "footnote":
        if re.search(r"\s", fact["marker"]):
            raise ValueError(f"marker is {fact['marker']!r:.80}; one without blanks is needed")
        for name in BESIDE:
            text = fact.get(name, "x")
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{name} is {text!r:.80}; a text is needed, or none")


def has_format(fact: Mapping[str, Any], answer: str) -> bool:
    """Whether a text stands in what the answer marks as a heading, bold or italic."""
    wanted = normalised(fact["text"])
    marked = [
        normalised(text) for pattern in FORMATS[fact["format"]] for text in pattern.findall(answer)
    ]
    if not fact.get("case_sensitive", True):
        wanted, marked = wanted.lower(), [text.lower() for text in marked]
    least = _least(fact, wanted)
    return any(fuzz.partial_ratio(wanted, text) / 100 >= least for text in marked)


def has_footnote(fact: Mapping[str, Any], answer: str) -> bool:
    """Whether the answer has the marker of a footnote, ``[^1]``, raised by a tag or a raised
    digit, and beside one of its places the texts that should be there."""
    marker = re.escape(fact["marker"])
    forms = [
        re.compile(rf"\[\^{marker}\](?!:)"),  # with a colon it begins the footnote itself
        re.compile(rf"<sup[^>]*>{marker}</sup>", re.IGNORECASE),
    ]
    if set(fact["marker"]) <= set("0123456789"):
        forms.append(re.compile(re.escape(fact["marker"].translate(_RAISED))))
    places = [found.span() for form in forms for found in form.finditer(answer)]
    before, after = (fact.get(name) for name in BESIDE)
    texts_before = [answer[max(0, start - _NEAR) : start] for start, _ in places]
    texts_after = [answer[end : end + _NEAR] for _, end in places]
    return (
        bool(places)
        and (before is None or any(_ends(fact, before, text) for text in texts_before))
        and (after is None or any(_begins(fact, after, text) for text in texts_after))
    )


def _ends(fact: Mapping[str, Any], wanted: str, text: str) -> bool:
    letters, near = _letters(wanted), _letters(text)
    return _alike(fact, wanted, near[max(0, len(near) - 2 * len(letters)) :])


def _begins(fact: Mapping[str, Any], wanted: str, text: str) -> bool:
    return _alike(fact, wanted, _letters(text)[: 2 * len(_letters(wanted))])


def _alike(fact: Mapping[str, Any], wanted: str, letters: str) -> bool:
    ratio = fuzz.partial_ratio(_letters(wanted), letters) / 100
    return bool(letters) and ratio >= _least(fact, normalised(wanted))


def _letters(text: str) -> str:
    return "".join(letter for letter in normalised(text) if letter.isalnum()).lower()


def _least(fact: Mapping[str, Any], wanted: str) -> float:
    return 1 - float(fact["max_diffs"]) / max(1, len(wanted))
