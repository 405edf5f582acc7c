"""OmniDocBench: the blocks of a page and how near an answer comes to them.

Ouyang et al., "OmniDocBench: Benchmarking Diverse PDF Document Parsing with Comprehensive
Annotations" (2024), and the description of version 1.5 define the form of the data, what counts,
and the figures: edit distance of text and formulas, TEDS of tables, and edit distance of the order
of reading. CDM, which compares pictures of formulas, takes LaTeX and is not offered; so the overall
figure, which includes it, is not either.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from internvl_ops.evaluation.benchmark import Figures, Sample
from internvl_ops.evaluation.page_matching import SURE, Match, edit_shares, match_blocks
from internvl_ops.evaluation.page_truths import PageTruth
from internvl_ops.metrics.assignment import cheapest_pairs
from internvl_ops.metrics.edits import edits
from internvl_ops.metrics.formulas import formula_tokens
from internvl_ops.metrics.tables import Node, html_tables_in, teds
from internvl_ops.tasks.block_types import FIGURE, FORMULA, TABLE
from internvl_ops.tasks.blocks import read_blocks

TEXTS = ("text_block", "title", "code_txt", "code_txt_caption", "reference")
# said or not, they do not count: what they take of an answer is left out
FURNITURE = ("figure_caption", "figure_footnote", "table_caption", "table_footnote", "header",
             "footer", "page_footnote", "page_number", "equation_caption", "code_algorithm",
             "code_algorithm_caption")  # fmt: skip
EQUATION, TABLE_BODY = "equation_isolated", "table"
_FIELDS = {TABLE_BODY: "html", EQUATION: "latex"}  # of others, "text"
_INLINE = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)", re.DOTALL)
_ALONE = re.compile(r"\s*(?:\$([^$]+)\$|\\\((.+)\\\))\s*", re.DOTALL)
_TAGS = re.compile(r"</?(?:sup|sub|b|i|u|em|strong|br|span|p|div)\b[^>]*>", re.IGNORECASE)
_ENVIRONMENTS = re.compile(r"\\(?:begin|end)\s*\{[^{}]*\}(?:\{[lcr|]*\})?")

Edits = tuple[int, int]  # edits, and the length of the longer of two texts


@dataclass
class PageFigures:
    """How an answer compares with a page.

    Args:
        texts: Category and edits of each match of text.
        formulas: Edits of each match of formulas.
        tables: TEDS of each table, with the texts of its cells and of its structure alone.
        order: Edits of the order over the number of blocks; None if the page has no text.
    """

    texts: list[tuple[str, Edits]] = field(default_factory=list)
    formulas: list[Edits] = field(default_factory=list)
    tables: list[tuple[float, float]] = field(default_factory=list)
    order: float | None = None


def read_pages(files: Mapping[str, str], pages: Sequence[str]) -> list[PageTruth]:
    """The pages of the JSON files.

    Raises:
        ValueError: A file is no list of pages, or something in a page cannot be used; it names the
            file and the page.
    """
    found: list[PageTruth] = []
    by_name = {page.rpartition("/")[2]: page for page in pages}
    for name, text in sorted(files.items()):
        try:
            given = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if not isinstance(given, list):
            raise ValueError(f"{name}: a list of pages is needed, as in OmniDocBench.json")
        for number, page in enumerate(given):
            try:
                image, truth = _page(page)
            except ValueError as error:
                raise ValueError(f"{name}, page {number} of the list: {error}") from None
            file = image if image in pages else by_name.get(image.rpartition("/")[2], image)
            if any(one.file == file for one in found):
                raise ValueError(f"{name}, page {number} of the list: {image} is there twice")
            attribute = page["page_info"].get("page_attribute") or {}
            kind = str(attribute.get("data_source") or "")
            split = name.removesuffix(".json")
            found.append(PageTruth(file, file, None, split, kind, json.dumps(truth)))
    return found


@lru_cache(maxsize=4096)  # scores and figures are of the same pages
def compare_page(truth: str, answer: str) -> PageFigures:
    """Compares an answer with a page, as `read_pages` returns it."""
    blocks = json.loads(truth)
    figures = PageFigures()
    items, tables = _items(answer)
    if real := [one for one in blocks if one["category"] == TABLE_BODY]:
        items = [*items, *_compare_tables(real, tables, figures)]
    mixed = [one for one in blocks if one["category"] != TABLE_BODY]
    furniture = [_key(one) for one in mixed if one["category"] in FURNITURE]
    if furniture and items:
        shares = edit_shares(furniture, [key for key, _ in items]).min(axis=0)
        items = [item for item, share in zip(items, shares, strict=True) if share >= SURE]
    counted = [one for one in mixed if one["category"] not in FURNITURE]
    keys = [_key(one) for one in counted]
    matches = match_blocks(keys, [key for key, _ in items])
    placed = []
    for match in matches:
        said = [items[number] for number in match.answers]
        kinds = [counted[number]["category"] for number in match.truths]
        is_formula = all(kind == EQUATION for kind in kinds)
        if is_formula and all(formula for _, formula in said):
            figures.formulas.append(_edits(keys, match, [key for key, _ in said]))
            continue
        if is_formula:  # said as text, so it is compared as text
            keys = [
                text_key(f"${one['text']}$") if number in match.truths else keys[number]
                for number, one in enumerate(counted)
            ]
        figures.texts.append((kinds[0], _edits(keys, match, [key for key, _ in said])))
        if not is_formula:
            placed.append(match)
    figures.order = _order(counted, placed)
    return figures


def text_key(text: str) -> str:
    """What counts of a text: letters and digits. A formula in it counts by its signs and letters,
    Greek ones by their names' letter."""
    text = _INLINE.sub(lambda found: _plain(found[1] or found[2]), _TAGS.sub("", text))
    return re.sub(r"\W", "", unicodedata.normalize("NFKC", text))


def formula_key(latex: str) -> str:
    """What counts of a formula: its tokens in one spelling, in small letters."""
    return "".join(formula_tokens(_ENVIRONMENTS.sub("", latex))).strip(".").lower()


def score(samples: Sequence[Sample]) -> list[float]:
    """The share of edits of each page's text; 0 if it has none."""
    return [_share(edits for _, edits in _figures(one).texts) or 0.0 for one in samples]


def summarise(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """The published figures but for CDM and what includes it: shares of edits from 0 to 1, means of
    pages; TEDS of 100, means of tables; then shares of edits by kind of block and of page."""
    pages = [_figures(sample) for sample in samples]
    tables = [table for page in pages for table in page.tables]
    table = {
        "Text edit": _mean(_share(edits for _, edits in page.texts) for page in pages),
        "Formula edit": _mean(_share(page.formulas) for page in pages),
        "Table TEDS": _mean(100 * both for both, _ in tables),
        "Table TEDS-S": _mean(100 * structure for _, structure in tables),
        "Read order edit": _mean(page.order for page in pages),
    }
    parts: dict[str, list[float | None]] = defaultdict(list)
    for sample, page in zip(samples, pages, strict=True):
        for kind, one in page.texts:
            parts[kind].append(_share([one]))
        parts[EQUATION] += [_share([one]) for one in page.formulas]
        if sample.category:
            share = _share(edits for _, edits in page.texts)
            parts[f"pages of {sample.category}"].append(share)
    by_part = {}
    for name, shares in sorted(parts.items()):
        if (mean := _mean(shares)) is not None:
            by_part[name] = {"edit": mean, "count": sum(one is not None for one in shares)}
    return Figures({name: one for name, one in table.items() if one is not None}, by_part)


def _figures(sample: Sample) -> PageFigures:
    return compare_page(sample.answers[0], "" if sample.failed else sample.response)


def _page(page: Any) -> tuple[str, list[dict[str, Any]]]:
    """The name of a page's picture, and its blocks: category, text and order."""
    info = page.get("page_info") if isinstance(page, dict) else None
    image = info.get("image_path") if isinstance(info, dict) else None
    given = page.get("layout_dets") if isinstance(page, dict) else None
    if not isinstance(image, str) or not image or not isinstance(given, list):
        raise ValueError("page_info with an image_path, and a list layout_dets, are needed")
    blocks = [block for one in given if (block := _block(one)) is not None]
    return image, _joined(blocks, page.get("extra"))


def _block(given: Any) -> dict[str, Any] | None:
    """A block of the data; None for one that is not compared."""
    if not isinstance(given, dict) or not isinstance(given.get("category_type"), str):
        raise ValueError(f"{given!r:.80} in layout_dets is no block: category_type is missing")
    category = given["category_type"]
    if given.get("ignore") or category not in (*TEXTS, *FURNITURE, EQUATION, TABLE_BODY):
        return None
    name = _FIELDS.get(category, "text")
    text, order = given.get(name), given.get("order")
    where = f"the block {given.get('anno_id')} of category {category}"
    if not isinstance(text, str):
        raise ValueError(f"{where} has no {name}")
    if category == TABLE_BODY and not html_tables_in(text):
        raise ValueError(f"{where}: html {text!r:.40} has no <table>")
    if order is not None and (isinstance(order, bool) or not isinstance(order, int | float)):
        raise ValueError(f"{where}: order {order!r:.40} is no number")
    return {"category": category, "text": text, "order": order, "id": given.get("anno_id")}


def _joined(blocks: list[dict[str, Any]], extra: Any) -> list[dict[str, Any]]:
    """The blocks, with those joined that the layout cuts in two."""
    relations = extra.get("relation") if isinstance(extra, dict) else None
    heads = {block["id"]: block["id"] for block in blocks}
    for one in relations or ():
        kind = one.get("relation_type") or one.get("relation")
        source, target = one.get("source_anno_id"), one.get("target_anno_id")
        if kind == "truncated" and source in heads and target in heads:
            old, new = heads[target], heads[source]
            heads = {name: new if head == old else head for name, head in heads.items()}
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, block in enumerate(blocks):
        head = block["id"]
        found[heads[head] if head is not None else f"block {number}"].append(block)
    joined = []
    for some in found.values():
        some.sort(key=lambda block: block["order"] or 0)
        joined.append({**some[0], "text": "".join(block["text"] for block in some)})
    return sorted(joined, key=lambda block: block["order"] or 0)


def _items(answer: str) -> tuple[list[tuple[str, bool]], list[tuple[Node, str]]]:
    """The parts of an answer but for tables: what counts of each, and whether it is a formula; and
    the tables with their texts."""
    items, tables = [], []
    for block in read_blocks(answer).blocks:
        if block.type == TABLE and block.html:
            tables += [(_flat(table), block.text) for table in html_tables_in(block.html)]
        elif block.type == FORMULA:
            items.append((formula_key(block.text), True))
        elif alone := _ALONE.fullmatch(block.text):
            items.append((formula_key(alone[1] or alone[2]), True))
        elif block.type != FIGURE:
            items.append((text_key(block.text), False))
    return [item for item in items if item[0]], tables


def _key(block: Mapping[str, Any]) -> str:
    if block["category"] != EQUATION:
        return text_key(block["text"])
    latex = block["text"].strip().strip("$").strip()
    return formula_key(latex.removeprefix("\\[").removesuffix("\\]"))


def _compare_tables(
    real: Sequence[Mapping[str, Any]], tables: Sequence[tuple[Node, str]], figures: PageFigures
) -> list[tuple[str, bool]]:
    """Adds the TEDS of each table; returns the tables of the answer that are none of them, as
    text."""
    truths = [_flat(html_tables_in(one["text"])[0]) for one in real]
    pairs: dict[int, int] = {}
    if tables:
        written = [_written(table) for table, _ in tables]
        pairs = dict(cheapest_pairs(edit_shares([_written(one) for one in truths], written)))
    for number, truth in enumerate(truths):
        other = tables[pairs[number]][0] if number in pairs else None
        figures.tables.append(
            (0.0, 0.0) if other is None else (teds(truth, other), teds(_bare(truth), _bare(other)))
        )
    left = set(range(len(tables))).difference(pairs.values())
    return [(key, False) for number in sorted(left) if (key := text_key(tables[number][1]))]


def _flat(table: Node) -> Node:
    """A table without head and body, with what counts of its texts: the published comparison knows
    no heads."""
    rows = [row for group in table.children for row in group.children]
    return Node("table", [Node("tr", [_cell(cell) for cell in row.children]) for row in rows])


def _cell(cell: Node) -> Node:
    text = " ".join(unicodedata.normalize("NFKC", cell.text).split())
    return Node("td", spans=cell.spans, text=text)


def _bare(table: Node) -> Node:
    rows = [[Node("td", spans=cell.spans) for cell in row.children] for row in table.children]
    return Node("table", [Node("tr", cells) for cells in rows])


def _written(table: Node) -> str:
    return "\n".join("\t".join(cell.text for cell in row.children) for row in table.children)


def _edits(keys: Sequence[str], match: Match, said: Sequence[str]) -> Edits:
    truth, answer = "".join(keys[number] for number in match.truths), "".join(said)
    return edits(truth, answer), max(len(truth), len(answer))


def _order(blocks: Sequence[Mapping[str, Any]], matches: Sequence[Match]) -> float | None:
    """Edits of the order in which the blocks of text are said over their number."""

    def orders(some: Iterable[Match]) -> list[float]:
        numbers = (blocks[number]["order"] for match in some for number in match.truths)
        return [number for number in numbers if number is not None]

    truth = sorted(orders(matches))
    said = sorted((match for match in matches if match.answers), key=lambda match: match.answers)
    return edits(orders(said), truth) / len(truth) if truth else None


def _plain(latex: str) -> str:
    return "".join(_greek(token) for token in formula_tokens(latex))


def _greek(token: str) -> str:
    size = "CAPITAL" if token[1:2].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {token.removeprefix(chr(92)).upper()}")
    except KeyError:
        return "" if token.startswith("\\") else token


def _share(some: Iterable[Edits]) -> float | None:
    """Edits over lengths, of several together; None if there is nothing."""
    pairs = list(some)
    total = sum(length for _, length in pairs)
    return sum(wrong for wrong, _ in pairs) / total if total else None


def _mean(some: Iterable[float | None]) -> float | None:
    known = [one for one in some if one is not None]
    return sum(known) / len(known) if known else None
