"""Joins the texts of pages: words that are split at line ends, and paragraphs that run over the end
of a page.

No letter, digit or mark of punctuation changes, but for hyphens that are undone. When in doubt, a
text stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from internvl_ops.page_texts.furniture import are_numbers, without_foot
from internvl_ops.page_texts.table_joining import Begun, join_tables

_HYPHENS = "-\u2010\u00ad"
_SOFT = "\u00ad"  # is never part of a word
_SPLIT = re.compile(rf"([^\W\d_]{{2,}})([{_HYPHENS}])$")
_REST = re.compile(r"[^\W\d_]+")
_COMPOUND = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)+")
_WORD = re.compile(r"[^\W\d_]+")
# A line of Markdown or HTML that is no running text: headings, list items, tables, formulas,
# fences, comments, tags.
_NO_PROSE = re.compile(r"\s*(?:#{1,6} |[-*+] |\d+[.)] |>|\||<|\$\$|```|\\\[|\\\]|!\[)")
_FENCE = re.compile(r"\s*```")
_ENDS = frozenset(".!?:;\u2026\u3002\uff01\uff1f\uff1a\uff1b")
_CLOSERS = "\"'\u201d\u2019\u00bb\u203a\u300d\u300f)]*_"
BETWEEN_PAGES = "\n\n"


class Vocabulary:
    """The words of a document, by which real hyphens are told from those of line ends.

    Args:
        texts: The document's texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._compounds: set[str] = set()
        self._words: set[str] = set()
        for text in texts:
            self._compounds.update(
                found.lower().replace("\u2010", "-") for found in _COMPOUND.findall(text)
            )
            self._words.update(found.lower() for found in _WORD.findall(text))

    def is_compound(self, start: str, rest: str) -> bool:
        """Whether the two parts are written with a hyphen elsewhere in the document, and not as one
        word."""
        return (
            f"{start}-{rest}".lower() in self._compounds
            and f"{start}{rest}".lower() not in self._words
        )


_EMPTIED = "".join(["\0", "emptied"])  # in place of a line of which nothing is left


def join_words(text: str, vocabulary: Vocabulary) -> str:
    """Undoes hyphens at line ends: the rest of the word goes up to its start.

    A hyphen stays where the next line does not begin with a small letter, where the word has other
    hyphens, in tables, formulas and code, and where the document writes the word with a hyphen
    elsewhere.

    Args:
        text: The text of a page.
        vocabulary: Of the document.
    """
    lines = text.split("\n")
    prose = list(_prose(lines))
    for number in range(len(lines) - 1):
        if prose[number] and prose[number + 1]:
            lines[number : number + 2] = _undone(lines[number], lines[number + 1], vocabulary)
    return "\n".join(line for line in lines if line is not _EMPTIED)


def join_pages(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    *,
    words: bool,
    paragraphs: bool,
    tables: bool = False,
) -> str:
    """The text of consecutive pages.

    Args:
        texts: The texts of the pages, in order; none of them is cut off, and none is missing
            between them.
        vocabulary: Of the document.
        words: Undo hyphens at line ends and page ends.
        paragraphs: Put a paragraph that runs over the end of a page into one line where the pages
            meet: it does not end like a sentence, and goes on with a small letter, or in a script
            without small letters. A page number below it goes.
        tables: Join a table that goes on at the head of the next page; see `table_joining`. So does
            a page number below it.
    """
    pages = [join_words(text, vocabulary) for text in texts] if words else list(texts)
    pieces = pages[:1]
    numbered = are_numbers(pages, at_foot=True) if paragraphs or tables else [False] * len(pages)
    begun: Begun | None = None
    for page, has_number in zip(pages[1:], numbered, strict=False):
        before, after = pieces[-1].rstrip(), page.lstrip()
        bare = without_foot(before) if has_number else before
        joined = join_tables(bare, page, begun) if tables else None
        begun = None
        if joined is not None:
            pieces[-1:] = [joined.above, "\n", joined.below]
            begun = joined.begun
            continue
        if paragraphs and has_number and _joins(bare, after):
            before = bare
        last, first = before.rpartition("\n")[2], after.partition("\n")[0]
        if not _joins(before, after):
            pieces += [BETWEEN_PAGES, page]
            continue
        above, below = _undone(last, first, vocabulary) if words else (last, first)
        if above == last and not paragraphs:
            pieces += [BETWEEN_PAGES, page]
            continue
        if above != last:
            before = before[: len(before) - len(last)] + above
            after = (
                after[len(first) :].lstrip() if below is _EMPTIED else below + after[len(first) :]
            )
        pieces[-1] = before
        pieces += [_between(before, after) if paragraphs else BETWEEN_PAGES, after]
    return "".join(pieces)


def _joins(before: str, after: str) -> bool:
    """Whether a paragraph at the end of a page goes on at the head of the next."""
    last, first = before.rpartition("\n")[2], after.partition("\n")[0]
    return _is_prose_at_end(before) and not _NO_PROSE.match(first) and _runs_on(last, first)


def _undone(line: str, following: str, vocabulary: Vocabulary) -> tuple[str, str]:
    split, rest = _SPLIT.search(line.rstrip()), _REST.match(following.lstrip())
    if split is None or rest is None or not rest[0][0].islower():
        return line, following
    start, hyphen = split.groups()
    before = line[: split.start()]
    if hyphen != _SOFT and (
        before.endswith(tuple(_HYPHENS)) or vocabulary.is_compound(start, rest[0])
    ):
        return line, following
    indent = following[: len(following) - len(following.lstrip())]
    taken = re.match(r"\S+", following.lstrip())
    assert taken is not None, "it begins with a letter"
    if hyphen != _SOFT and taken[0][len(rest[0]) :].startswith(tuple(_HYPHENS)):
        return line, following
    left = following.lstrip()[len(taken[0]) :].lstrip()
    return before + start + taken[0], indent + left if left else _EMPTIED


def _prose(lines: Sequence[str]) -> Iterator[bool]:
    fenced = False
    for line in lines:
        if _FENCE.match(line):
            fenced = not fenced
            yield False
        else:
            yield not fenced and not re.match(r"\s*(?:\||<|\$\$|\\\[|\\\])", line)


def _is_prose_at_end(text: str) -> bool:
    lines = text.rstrip().split("\n")
    return not _NO_PROSE.match(lines[-1]) and list(_prose(lines))[-1]


def _runs_on(last: str, first: str) -> bool:
    last, first = last.rstrip(), first.lstrip()
    bare = last.rstrip(_CLOSERS)
    if not bare or not first or bare[-1] in _ENDS:
        return False
    if first[0].islower():
        return bare[-1].isalpha() or bare[-1] in _HYPHENS or bare[-1] == ","
    return _has_no_case(first[0]) and (_has_no_case(bare[-1]) or bare[-1] in "\u3001\uff0c")


def _between(above: str, below: str) -> str:
    """What stands between the two halves of a paragraph."""
    if (
        above.endswith(tuple(_HYPHENS))
        or _is_without_blanks(above[-1])
        or _is_without_blanks(below[:1])
    ):
        return ""
    return " "


def _has_no_case(letter: str) -> bool:
    return unicodedata.category(letter) == "Lo"


def _is_without_blanks(letter: str) -> bool:
    """Whether it belongs to Chinese or Japanese, which put no blanks between words."""
    name = unicodedata.name(letter, "") if letter else ""
    return name.startswith(("CJK ", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "FULLWIDTH COMMA"))
