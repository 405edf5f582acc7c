"""What is not on a page as it is drawn is told: letters without a font, forms made by a program,
attached files."""

import subprocess
import sys

import pypdfium2
import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.document import DocumentOptions, count_pages, picture_page, render_page


def pdf(
    font: list[bytes], text: bytes, catalog: bytes = b"", more: tuple[bytes, ...] = ()
) -> bytes:
    """A page with one line of text; its font is object 5, what belongs to it follows."""
    content = b"BT /F1 24 Tf 20 100 Td <" + text.hex().encode() + b"> Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R" + catalog + b">>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1"
            b" 5 0 R>>>>>>"
        ),
        b"<</Length %d>>stream\n" % len(content) + content + b"\nendstream",
        *font,
        *more,
    ]
    file, places = b"%PDF-1.7\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n" % number + one + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        len(file),
    )
    return file + head + table + end


def east_asian(name: str, collection: str, encoding: str, text: str) -> bytes:
    system = f"<</Registry(Adobe)/Ordering({collection})/Supplement 2>>"
    fonts = [
        f"<</Type/Font/Subtype/Type0/BaseFont/{name}/Encoding/{encoding}/DescendantFonts[6 0 R]>>",
        (
            f"<</Type/Font/Subtype/CIDFontType0/BaseFont/{name}/CIDSystemInfo{system}/DW"
            " 1000/FontDescriptor 7 0 R>>"
        ),
        (
            f"<</Type/FontDescriptor/FontName/{name}/Flags 4/FontBBox[0 -200 1000 900]/ItalicAngle"
            " 0/Ascent 800/Descent -200/CapHeight 700/StemV 80>>"
        ),
    ]
    return pdf([font.encode() for font in fonts], text.encode("utf-16-be"))


LATIN = [b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"]
CYRILLIC = [
    b"<</Type/Font/Subtype/TrueType/BaseFont/ArialMT/Encoding<</Differences[192/afii10017/afii10018]>>>>"
]
DOCUMENTS = {
    "HeiseiMin-W3": east_asian("HeiseiMin-W3", "Japan1", "UniJIS-UTF16-H", "日本語の文書"),
    "STSong-Light": east_asian("STSong-Light", "GB1", "UniGB-UTF16-H", "中文文件"),
    "HYSMyeongJo-Medium": east_asian(
        "HYSMyeongJo-Medium", "Korea1", "UniKS-UTF16-H", "한국어 문서"
    ),
    "MSung-Light": east_asian("MSung-Light", "CNS1", "UniCNS-UTF16-H", "繁體中文"),
    "ArialMT": pdf(CYRILLIC, b"\xc0\xc1"),
    "latin": pdf(LATIN, b"Hello, world"),
}


def is_blank(page) -> bool:
    return bool((page.tiles > 200).all())


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("dpi", [None, 72.0])
def test_a_page_shows_its_letters_or_says_that_it_does_not(name, dpi):
    options = DocumentOptions(dpi=dpi)
    page = render_page(DOCUMENTS[name], 1, options)
    told = [note for note in page.notes if "not drawn" in note]
    assert bool(told) == is_blank(page)
    assert all(name in note for note in told)
    assert picture_page(DOCUMENTS[name], 1, options)[0].notes == page.notes


def test_letters_of_the_standard_fonts_need_no_installed_font():
    assert not is_blank(render_page(DOCUMENTS["latin"], 1))


def test_a_font_of_a_script_is_asked_about_on_each_page_of_a_document(tmp_path):
    """Its Latin letters on the first page say nothing of the second."""
    name, collection, encoding = "NoSuchFont-Light", "Japan1", "UniJIS-UTF16-H"
    texts = "Latin", "日本語", "日本語"
    path = tmp_path / "two.pdf"
    pages = [east_asian(name, collection, encoding, text) for text in texts]
    with_fonts = pypdfium2.PdfDocument.new()
    for page in pages:
        with_fonts.import_pages(pypdfium2.PdfDocument(page))
    with_fonts.save(path)
    for number, text in enumerate(texts, 1):
        page = render_page(str(path), number)
        assert page.notes == render_page(pages[number - 1], 1).notes, text
        assert any("not drawn" in note for note in page.notes) == is_blank(page)


def test_where_no_font_is_installed_each_east_asian_page_says_so(tmp_path):
    """In a file system of its own, whose folder of fonts is empty."""
    for name, data in DOCUMENTS.items():
        (tmp_path / f"{name}.pdf").write_bytes(data)
    script = (
        "import sys, pathlib\nfrom internvl_ops.media.document import render_page\nfor path in"
        " sorted(pathlib.Path(sys.argv[1]).glob('*.pdf')):\n    print(path.stem, any('not drawn' in"
        " note for note in render_page(path.read_bytes(), 1).notes))\n"
    )
    hidden = 'mount -t tmpfs none /usr/share/fonts && exec "$@"'
    command = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        hidden,
        "sh",
        sys.executable,
        "-c",
        script,
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("this machine lets nobody hide its folder of fonts")
    assert done.returncode == 0, done.stderr
    told = dict(line.split() for line in done.stdout.splitlines())
    assert told == {name: str(name != "latin") for name in DOCUMENTS}


FORM = b"/AcroForm<</Fields[]/XFA 6 0 R>>"
XFA = (b"<</Length 11>>stream\n<xdp></xdp>\nendstream",)


def test_a_form_whose_pages_a_program_makes_is_unsupported():
    data = pdf(LATIN, b"Please wait...", FORM + b"/NeedsRendering true", XFA)
    for read in (count_pages, lambda file: render_page(file, 1)):
        with pytest.raises(UnitError, match="XFA") as caught:
            read(data)
        assert caught.value.kind == "unsupported"


def test_a_form_that_also_has_its_pages_is_read():
    assert not is_blank(render_page(pdf(LATIN, b"Name:", FORM, XFA), 1))


@pytest.mark.parametrize("catalog", [b"", b"/Collection<</View/T>>"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_attached_files_are_told(catalog, count):
    names = b"".join(b"(%d.pdf) %d 0 R" % (number, 6 + number) for number in range(count))
    files = tuple(b"<</Type/Filespec/F(%d.pdf)>>" % number for number in range(count))
    data = pdf(
        LATIN, b"Cover", catalog + b"/Names<</EmbeddedFiles<</Names[" + names + b"]>>>>", files
    )
    notes = [note for note in render_page(data, 1).notes if "attached" in note]
    assert [f"{count} attached" in note for note in notes] == [True] * bool(count)
