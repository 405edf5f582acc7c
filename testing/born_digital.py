"""Makes PDF pages of known text: with a good text layer, with layers that lie in a known way, and
answers with planted faults.

Everything follows from a seed. `Page.truth` is what a reader sees, in the order of reading.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN, SIZE, LEADING = 595, 842, 60, 10, 13
_SYLLABLES = (
    "ta",
    "ri",
    "on",
    "se",
    "lan",
    "te",
    "ma",
    "di",
    "ness",
    "or",
    "per",
    "es",
    "con",
    "ti",
    "ra",
    "le",
)
_SYLLABLES += (
    "in",
    "de",
    "ver",
    "sta",
    "lo",
    "and",
    "re",
    "gen",
    "to",
    "is",
    "ment",
    "ol",
    "ca",
    "en",
    "hu",
    "ber",
)
_SMALL = (
    "the",
    "of",
    "and",
    "in",
    "to",
    "a",
    "is",
    "that",
    "for",
    "with",
    "as",
    "was",
    "on",
    "are",
    "by",
    "at",
)


@dataclass(frozen=True)
class Piece:
    """A line of text at a place in points, from the bottom left."""

    x: float
    y: float
    text: str
    size: float = SIZE


@dataclass
class Page:
    """A page to be made.

    Args:
        kind: A name of `GOOD` or `BAD`.
        truth: Its lines in the order of reading.
        content: The page's drawing.
        picture: A grey picture that the content can draw as ``/I``.
        rotate: As the entry of that name.
        unicode_shift: By how much the stored characters differ from the drawn ones.
    """

    kind: str
    truth: list[str]
    content: bytes
    picture: Image.Image | None = None
    rotate: int = 0
    unicode_shift: int = 0


def word(draw: random.Random) -> str:
    if draw.random() < 0.35:
        return draw.choice(_SMALL)
    made = "".join(draw.choice(_SYLLABLES) for _ in range(draw.randint(1, 4)))
    return made.capitalize() if draw.random() < 0.05 else made


def words(draw: random.Random, count: int) -> list[str]:
    return [
        word(draw) if draw.random() > 0.04 else str(draw.randint(2, 99_999)) for _ in range(count)
    ]


def sentence(draw: random.Random, count: int) -> str:
    text = " ".join(words(draw, count))
    return text[0].upper() + text[1:] + "."


def _paragraphs(draw: random.Random, x: float, y: float, wide: int, lines: int) -> list[Piece]:
    """Lines of at most ``wide`` characters, downwards from ``y``."""
    pieces = []
    left = sentence(draw, 1200).split()
    for number in range(lines):
        text = left.pop(0)
        while left and len(text) + 1 + len(left[0]) <= wide:
            text += f" {left.pop(0)}"
        pieces.append(Piece(x, y - number * LEADING, text))
    return pieces


def _text(draw: random.Random) -> list[Piece]:
    heading = Piece(MARGIN, HEIGHT - MARGIN - 10, sentence(draw, 4), 16)
    lines = draw.randint(6, 45)
    foot = [Piece(WIDTH / 2 - 8, 30, str(draw.randint(1, 900)))] if draw.random() < 0.5 else []
    return [heading, *_paragraphs(draw, MARGIN, HEIGHT - MARGIN - 40, 85, lines), *foot]


def _columns(draw: random.Random) -> list[Piece]:
    top, lines = HEIGHT - MARGIN - 40, draw.randint(8, 40)
    heading = Piece(MARGIN, HEIGHT - MARGIN - 10, sentence(draw, 5), 16)
    left = _paragraphs(draw, MARGIN, top, 38, lines)
    right = _paragraphs(draw, WIDTH / 2 + 20, top, 38, draw.randint(5, lines))
    return [heading, *left, *right]


def _list(draw: random.Random) -> list[Piece]:
    pieces = [Piece(MARGIN, HEIGHT - MARGIN - 10, sentence(draw, 4), 14)]
    for number in range(draw.randint(4, 20)):
        pieces.append(
            Piece(MARGIN + 15, HEIGHT - 110 - number * 20, f"{number + 1}. {sentence(draw, 7)}")
        )
    return pieces


def drawn(pieces: Sequence[Piece], before: str = "0 g") -> bytes:
    """The drawing of some lines."""
    lines = [before]
    for piece in pieces:
        text = piece.text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        lines.append(f"BT /F {piece.size} Tf {piece.x:.1f} {piece.y:.1f} Td ({text}) Tj ET")
    return "\n".join(lines).encode("latin-1")


def _good(layout: Callable[[random.Random], list[Piece]]) -> Callable[[random.Random, str], Page]:
    def make(draw: random.Random, kind: str) -> Page:
        pieces = layout(draw)
        return Page(kind, [piece.text for piece in pieces], drawn(pieces))

    return make


def _table(draw: random.Random, kind: str) -> Page:
    """A ruled table; columns of a table may be read across, but nothing in the file says that it is
    one."""
    page, rows = _text(draw)[:6], []
    for number in range(draw.randint(4, 12)):
        y = 560 - number * 18
        cells = [word(draw), str(draw.randint(1, 9999)), str(draw.randint(1, 9999))]
        rows.append([Piece(MARGIN + place * 150, y, cell) for place, cell in enumerate(cells)])
    rules = "\n".join(
        f"{MARGIN - 4} {573 - n * 18} m 530 {573 - n * 18} l S" for n in range(len(rows) + 1)
    )
    pieces = [*page, *(piece for row in rows for piece in row)]
    truth = [
        *(piece.text for piece in page),
        *(" ".join(piece.text for piece in row) for row in rows),
    ]
    return Page(kind, truth, drawn(pieces, f"0 g 0.5 w\n{rules}"))


def _turned_whole(draw: random.Random, kind: str) -> Page:
    """A page that is displayed turned, with its text upright on the display."""
    pieces = _paragraphs(draw, 0, 0, 80, 20)
    lines = ["0 g"]
    # upwards in the file's own directions, which /Rotate 90 turns to the right
    for number, piece in enumerate(pieces):
        lines.append(f"BT /F 10 Tf 0 1 -1 0 {80 + 13 * number} 60 Tm ({piece.text}) Tj ET")
    return Page(kind, [piece.text for piece in pieces], "\n".join(lines).encode(), rotate=90)


def _shuffled(draw: random.Random, kind: str) -> Page:
    pieces = _text(draw)
    mixed = pieces[:]
    while mixed == pieces:
        cut = draw.randint(2, len(pieces) - 2)
        mixed = pieces[cut:] + pieces[:cut]
    return Page(kind, [piece.text for piece in pieces], drawn(mixed))


def _across(draw: random.Random, kind: str) -> Page:
    """Two columns, stored row by row."""
    left = _paragraphs(draw, MARGIN, 740, 38, 20)
    right = _paragraphs(draw, WIDTH / 2 + 20, 740, 38, 20)
    mixed = [piece for row in zip(left, right, strict=True) for piece in row]
    return Page(kind, [piece.text for piece in [*left, *right]], drawn(mixed))


def _shifted(draw: random.Random, kind: str) -> Page:
    pieces = _text(draw)
    shift = draw.choice((1, 2, 3, 5, 7, 9))
    return Page(kind, [piece.text for piece in pieces], drawn(pieces), unicode_shift=shift)


def _photographed(pieces: Sequence[Piece]) -> Image.Image:
    picture = Image.new("L", (WIDTH * 2, HEIGHT * 2), 255)
    pen = ImageDraw.Draw(picture)
    for piece in pieces:
        font = ImageFont.load_default(piece.size * 2)
        pen.text((piece.x * 2, (HEIGHT - piece.y - piece.size) * 2), piece.text, fill=0, font=font)
    return picture


def _scan(draw: random.Random, kind: str) -> Page:
    pieces = _text(draw)
    content = f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /I Do Q".encode()
    return Page(kind, [piece.text for piece in pieces], content, _photographed(pieces))


def _scan_with_ocr(draw: random.Random, kind: str) -> Page:
    page = _scan(draw, kind)
    wrong = [
        Piece(MARGIN, HEIGHT - 70 - 13 * number, noisy(draw, text, 0.1))
        for number, text in enumerate(page.truth)
    ]
    page.content += b"\nBT 3 Tr ET\n" + drawn(wrong, "3 Tr")
    return page


def _half_scanned(draw: random.Random, kind: str) -> Page:
    """A page with a letterhead of text above a picture of writing."""
    body = _paragraphs(draw, MARGIN, 560, 70, draw.randint(5, 30))
    head = _paragraphs(draw, MARGIN, 780, 80, 5)
    content = f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /I Do Q".encode() + b"\n" + drawn(head)
    return Page(kind, [piece.text for piece in [*head, *body]], content, _photographed(body))


def _hidden(draw: random.Random, kind: str) -> Page:
    """White text on white, as some make against copying or for search engines."""
    pieces = _text(draw)
    secret = [Piece(MARGIN, 60 + 13 * number, sentence(draw, 8)) for number in range(2)]
    content = drawn(pieces[:-1]) + b"\n" + drawn(secret, "1 g")
    return Page(kind, [piece.text for piece in pieces[:-1]], content)


def _twice(draw: random.Random, kind: str) -> Page:
    """Letters that are drawn twice, a little apart, to look bold."""
    pieces = _text(draw)
    again = [Piece(piece.x + 0.3, piece.y, piece.text, piece.size) for piece in pieces]
    mixed = [piece for pair in zip(pieces, again, strict=True) for piece in pair]
    return Page(kind, [piece.text for piece in pieces], drawn(mixed))


def _sideways(draw: random.Random, kind: str) -> Page:
    pieces = _text(draw)
    content = drawn(pieces) + b"\nBT /F 10 Tf 0 1 -1 0 30 300 Tm (turned to the side) Tj ET"
    return Page(kind, ["turned to the side", *(piece.text for piece in pieces)], content)


GOOD: dict[str, Callable[[random.Random, str], Page]] = {
    "text": _good(_text),
    "columns": _good(_columns),
    "list": _good(_list),
    "displayed turned": _turned_whole,
    "drawn twice": _twice,
}
BAD: dict[str, Callable[[random.Random, str], Page]] = {
    "table": _table,
    "stored out of order": _shuffled,
    "columns stored across": _across,
    "wrong characters": _shifted,
    "scan": _scan,
    "scan with OCR": _scan_with_ocr,
    "half scanned": _half_scanned,
    "hidden text": _hidden,
    "text to the side": _sideways,
}


def make_page(kind: str, seed: int) -> Page:
    """A page of a kind of `GOOD` or `BAD`."""
    return (GOOD | BAD)[kind](random.Random(f"{kind} {seed}"), kind)


def pdf(pages: Sequence[Page], info: str = "", catalog: str = "") -> bytes:
    """The pages as a PDF.

    Args:
        pages: The pages.
        info: Entries of the document's information, in the syntax of PDF.
        catalog: Entries of its catalog.
    """
    objects: list[bytes] = [b"", b"", b"<< %s >>" % info.encode()]

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    kids = []
    for page in pages:
        to_unicode = b""
        if page.unicode_shift:
            to_unicode = b" /ToUnicode %d 0 R" % add(_stream(_cmap(page.unicode_shift)))
        font = add(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding%s >>"
            % to_unicode
        )
        resources = b"/Font << /F %d 0 R >>" % font
        if page.picture is not None:
            entries = (
                b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray "
                % page.picture.size
            )
            image = add(_stream(page.picture.tobytes(), entries + b"/BitsPerComponent 8 "))
            resources += b" /XObject << /I %d 0 R >>" % image
        content = add(_stream(page.content))
        kids.append(
            add(
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Rotate %d /Resources << %s >>"
                b" /Contents %d 0 R >>" % (WIDTH, HEIGHT, page.rotate, resources, content)
            )
        )
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog.encode()
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (listed, len(kids))
    file = io.BytesIO(b"%PDF-1.6\n")
    file.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    file.write(
        b"trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (len(objects) + 1, start)
    )
    return file.getvalue()


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    packed = zlib.compress(data)
    return b"<< %s/Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (
        entries,
        len(packed),
        packed,
    )


def _cmap(shift: int) -> bytes:
    """Says of each letter that it is another one."""
    pairs = []
    for first in (65, 97):
        pairs += [b"<%02X> <%04X>" % (first + n, first + (n + shift) % 26) for n in range(26)]
    return (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /A def /CMapType 2"
        b" def\n1 begincodespacerange <00> <FF> endcodespacerange\n%d"
        b" beginbfchar\n%s\nendbfchar\nendcmap end end" % (len(pairs), b"\n".join(pairs))
    )


def noisy(draw: random.Random, text: str, rate: float) -> str:
    """The text with letters misread at this rate, as a recogniser misreads them."""
    return "".join(
        draw.choice("etaoinshrlc1l0") if one.isalpha() and draw.random() < rate else one
        for one in text
    )


@dataclass(frozen=True)
class Answer:
    """An answer about a page of known lines.

    Args:
        text: The answer.
        planted: "invention", "omission", or empty.
        what: The words that were put in or left out.
    """

    text: str
    planted: str = ""
    what: str = ""


def answered(truth: Sequence[str], seed: int, planted: str) -> Answer:
    """A model's answer: other line ends, Markdown, some letters misread; and one planted fault, if
    any."""
    draw = random.Random(f"{seed} {planted}")
    lines = [noisy(draw, line, draw.choice((0, 0, 0.005, 0.01))) for line in truth]
    if draw.random() < 0.5:
        lines[0] = f"# {lines[0]}"
    what = ""
    if planted == "invention":
        kind = draw.choice(("sentence", "words", "row", "line again"))
        made = {
            "sentence": sentence(draw, draw.randint(6, 14)),
            "words": " ".join(words(draw, 3)),
            "row": f"{word(draw)} {draw.randint(10, 9999)} {draw.randint(10, 9999)}",
            "line again": draw.choice(lines[1:]),
        }[kind]
        place = draw.randint(1, len(lines))
        what, lines = made, [*lines[:place], made, *lines[place:]]
    elif planted == "omission":
        place = draw.randrange(1, len(lines))
        if draw.random() < 0.5 or len(lines[place].split()) < 8:
            what = lines.pop(place)
        else:
            parts = lines[place].split()
            start = draw.randint(0, len(parts) - 4)
            what, lines[place] = (
                " ".join(parts[start : start + 4]),
                " ".join(parts[:start] + parts[start + 4 :]),
            )
    joint = draw.choice(("\n", " ", "\n\n"))
    return Answer(joint.join(lines), planted, what)
