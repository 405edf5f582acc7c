"""Makes small office documents, each page, sheet or slide with its text; and a program that stands
for LibreOffice."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_SCHEMAS = "http://schemas.openxmlformats.org"
_PARTS = "application/vnd.openxmlformats-officedocument"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def _packed(files: dict[str, str], first: dict[str, str] | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, text in (first or {}).items():
            written.writestr(name, text, zipfile.ZIP_STORED)
        for name, text in files.items():
            written.writestr(name, _HEAD + text)
    return file.getvalue()


def _open_xml(
    main: str, main_type: str, files: dict[str, str], types: dict[str, str] | None = None
) -> bytes:
    overrides = {f"/{main}": f"{_PARTS}.{main_type}+xml"} | {
        f"/{name}": f"{_PARTS}.{kind}+xml" for name, kind in (types or {}).items()
    }
    listed = "".join(
        f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in overrides.items()
    )
    content = (
        f'<Types xmlns="{_SCHEMAS}/package/2006/content-types"><Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default'
        f' Extension="xml" ContentType="application/xml"/>{listed}</Types>'
    )
    root = _relations([("officeDocument", main)])
    return _packed({"[Content_Types].xml": content, "_rels/.rels": root, **files})


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="r{number}" Type="{_SCHEMAS}/officeDocument/2006/relationships/{kind}"'
        f' Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_SCHEMAS}/package/2006/relationships">{listed}</Relationships>'


def docx(texts: Sequence[str]) -> bytes:
    """A Word document with a page for each text."""
    ends = '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'
    body = ends.join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in texts)
    document = (
        "<w:document"
        f' xmlns:w="{_SCHEMAS}/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>'
    )
    return _open_xml(
        "word/document.xml", "wordprocessingml.document.main", {"word/document.xml": document}
    )


def xlsx(texts: Sequence[str]) -> bytes:
    """An Excel document with a sheet for each text."""
    space = (
        f'xmlns="{_SCHEMAS}/spreadsheetml/2006/main"'
        f' xmlns:r="{_SCHEMAS}/officeDocument/2006/relationships"'
    )
    files, types, sheets = {}, {}, ""
    for number, text in enumerate(texts, 1):
        cell = f'<c r="A1" t="inlineStr"><is><t>{text}</t></is></c>'
        name = f"xl/worksheets/sheet{number}.xml"
        files[name] = (
            f'<worksheet {space}><sheetData><row r="1">{cell}</row></sheetData></worksheet>'
        )
        types[name] = "spreadsheetml.worksheet"
        sheets += f'<sheet name="s{number}" sheetId="{number}" r:id="r{number}"/>'
    files["xl/workbook.xml"] = f"<workbook {space}><sheets>{sheets}</sheets></workbook>"
    targets = [
        ("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(texts) + 1)
    ]
    files["xl/_rels/workbook.xml.rels"] = _relations(targets)
    return _open_xml("xl/workbook.xml", "spreadsheetml.sheet.main", files, types)


def pptx(texts: Sequence[str]) -> bytes:
    """A PowerPoint document with a slide for each text."""
    space = (
        f'xmlns:a="{_SCHEMAS}/drawingml/2006/main" xmlns:p="{_SCHEMAS}/presentationml/2006/main" '
        f'xmlns:r="{_SCHEMAS}/officeDocument/2006/relationships"'
    )
    group = (
        '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
    )
    files, types, slides = {}, {}, ""
    for number, text in enumerate(texts, 1):
        place = '<a:xfrm><a:off x="900000" y="900000"/><a:ext cx="6000000" cy="900000"/></a:xfrm>'
        shape = (
            '<p:sp><p:nvSpPr><p:cNvPr id="2" name="t"/><p:cNvSpPr'
            f' txBox="1"/><p:nvPr/></p:nvSpPr><p:spPr>{place}'
            '<a:prstGeom prst="rect"><a:avLst/></a:prstGeom></p:spPr><p:txBody><a:bodyPr/>'
            f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        )
        name = f"ppt/slides/slide{number}.xml"
        files[name] = f"<p:sld {space}><p:cSld><p:spTree>{group}{shape}</p:spTree></p:cSld></p:sld>"
        types[name] = "presentationml.slide"
        slides += f'<p:sldId id="{255 + number}" r:id="r{number}"/>'
    files["ppt/presentation.xml"] = (
        f'<p:presentation {space}><p:sldIdLst>{slides}</p:sldIdLst><p:sldSz cx="9144000"'
        ' cy="6858000"/><p:notesSz cx="6858000" cy="9144000"/></p:presentation>'
    )
    targets = [("slide", f"slides/slide{number}.xml") for number in range(1, len(texts) + 1)]
    files["ppt/_rels/presentation.xml.rels"] = _relations(targets)
    return _open_xml("ppt/presentation.xml", "presentationml.presentation.main", files, types)


def _open_document(kind: str, body: str, encrypted: bool = False) -> bytes:
    spaces = " ".join(
        f'xmlns:{short}="{_ODF}:{name}:1.0"'
        for short, name in [
            *(
                ("office", "office"),
                ("text", "text"),
                ("table", "table"),
                ("draw", "drawing"),
                ("style", "style"),
            ),
            *(
                ("svg", "svg-compatible"),
                ("fo", "xsl-fo-compatible"),
                ("presentation", "presentation"),
            ),
        ]
    )
    style = (
        '<office:automatic-styles><style:style style:name="B"'
        ' style:family="paragraph"><style:paragraph-properties'
        ' fo:break-before="page"/></style:style></office:automatic-styles>'
    )
    content = (
        "<office:document-content"
        f" {spaces}>{style}<office:body>{body}</office:body></office:document-content>"
    )
    media_type = f"application/vnd.oasis.opendocument.{kind}"
    lock = "<manifest:encryption-data/>" if encrypted else ""
    manifest = (
        f'<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0"><manifest:file-entry'
        f' manifest:full-path="/" manifest:media-type="{media_type}"/><manifest:file-entry'
        ' manifest:full-path="content.xml"'
        f' manifest:media-type="text/xml">{lock}</manifest:file-entry></manifest:manifest>'
    )
    return _packed(
        {"content.xml": content, "META-INF/manifest.xml": manifest}, {"mimetype": media_type}
    )


def odt(texts: Sequence[str], encrypted: bool = False) -> bytes:
    """An OpenDocument text with a page for each text."""
    new_page = ' text:style-name="B"'
    paragraphs = "".join(
        f"<text:p{new_page * bool(number)}>{text}</text:p>" for number, text in enumerate(texts)
    )
    return _open_document("text", f"<office:text>{paragraphs}</office:text>", encrypted)


def ods(texts: Sequence[str]) -> bytes:
    """An OpenDocument spreadsheet with a sheet for each text."""
    sheets = "".join(
        f'<table:table table:name="s{number}"><table:table-row><table:table-cell'
        ' office:value-type="string"><text:p>'
        f"{text}</text:p></table:table-cell></table:table-row></table:table>"
        for number, text in enumerate(texts)
    )
    return _open_document("spreadsheet", f"<office:spreadsheet>{sheets}</office:spreadsheet>")


def odp(texts: Sequence[str]) -> bytes:
    """An OpenDocument presentation with a slide for each text."""
    place = 'svg:x="2cm" svg:y="2cm" svg:width="15cm" svg:height="3cm"'
    slides = "".join(
        f'<draw:page draw:name="p{number}"><draw:frame'
        f" {place}><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame></draw:page>"
        for number, text in enumerate(texts)
    )
    return _open_document("presentation", f"<office:presentation>{slides}</office:presentation>")


MAKERS: dict[str, Callable[[Sequence[str]], bytes]] = {
    ".docx": docx,
    ".xlsx": xlsx,
    ".pptx": pptx,
    ".odt": odt,
    ".ods": ods,
    ".odp": odp,
}


def stand_in(folder: Path, script: str, pdf: bytes = b"") -> Path:
    """A program ``soffice`` in a folder ``bin``, to put on the PATH.

    Args:
        folder: Where the folder is made.
        script: What it does, in the shell. It is called like LibreOffice, in the folder of the
            document; ``$PDF`` is a file with `pdf`.
        pdf: A PDF document that it can return.
    """
    programs = folder / "bin"
    programs.mkdir()
    (programs / "made.pdf").write_bytes(pdf)
    program = programs / "soffice"
    program.write_text(f'#!/bin/bash\nPDF="{programs / "made.pdf"}"\n{script}\n')
    program.chmod(0o755)
    return programs
