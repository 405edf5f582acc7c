"""Office documents become PDF documents by LibreOffice, which reaches nothing but the document."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.office import libreoffice, office_suffix
from internvl_ops.media.parts import DecodeOptions, Part
from internvl_ops.media.sandbox_confinement import available
from internvl_ops.media_reader import MediaReader, MediaRef, ReadLimits, Unit
from testing.corpus_documents import Document, make
from testing.corpus_pages import archive, image_file
from testing.office_files import MAKERS, docx, odt, stand_in

needs_landlock = pytest.mark.skipif(
    available().landlock < 4, reason="the kernel's Landlock is older than version 4"
)
PDF = make(Document(pages=2))
COPY = 'cp "$PDF" document.pdf'


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaReader]:
    base = str(tmp_path_factory.getbasetemp())
    made = MediaReader(
        ReadPolicy(base), DecodeOptions(kind="document"), ReadLimits(decode_timeout_s=60)
    )
    yield made
    made.close()


def parts(reader: MediaReader, media: MediaRef) -> list[Part] | UnitError:
    return reader.list_parts(Unit([], [media]))


def failure(reader: MediaReader, media: MediaRef) -> UnitError:
    found = parts(reader, media)
    assert isinstance(found, UnitError)
    return found


def put(folder: Path, name: str, data: bytes) -> MediaRef:
    (folder / name).write_bytes(data)
    return MediaRef(str(folder / name))


class TestWithLibreOffice:
    pytestmark = pytest.mark.skipif(libreoffice() is None, reason="LibreOffice is not installed")

    @pytest.mark.parametrize("suffix", MAKERS)
    def test_each_page_sheet_and_slide_is_a_page(
        self, reader: MediaReader, tmp_path: Path, suffix: str
    ) -> None:
        media = put(tmp_path, f"a{suffix}", MAKERS[suffix](["first", "second"]))
        assert parts(reader, media) == [Part(page=1), Part(page=2)]
        ((_, _, source),) = reader.files([Unit([], [media], Part(page=2))])
        assert isinstance(source, str)
        assert "second" in pypdfium2.PdfDocument(source)[1].get_textpage().get_text_range()

    def test_a_document_that_ends_early_is_one_error(
        self, reader: MediaReader, tmp_path: Path
    ) -> None:
        damaged = archive({"[Content_Types].xml": b"<Types", "word/document.xml": b"<w:doc"})
        error = failure(reader, put(tmp_path, "a.docx", damaged))
        assert error.kind == "corrupt"
        assert "LibreOffice cannot open" in error.message


class TestWhatItMayDo:
    """A program in its place shows what LibreOffice could do if a document took it over."""

    def run(
        self, reader: MediaReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
    ) -> object:
        programs = stand_in(tmp_path, script, PDF)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        return parts(reader, put(tmp_path, "a.docx", docx(["x"])))

    def test_the_pages_of_its_pdf_are_the_documents(self, reader, tmp_path, monkeypatch) -> None:
        assert self.run(reader, tmp_path, monkeypatch, COPY) == [Part(page=1), Part(page=2)]

    def test_bytes_in_a_row_are_converted_too(self, reader, tmp_path, monkeypatch) -> None:
        self.run(reader, tmp_path, monkeypatch, COPY)
        ((_, _, source),) = reader.files([Unit([], [MediaRef("", docx(["inline"]))], Part(page=2))])
        assert source == PDF

    def test_a_document_is_converted_once(self, reader, tmp_path, monkeypatch) -> None:
        self.run(reader, tmp_path, monkeypatch, COPY)
        (tmp_path / "bin" / "soffice").unlink()
        assert len(parts(reader, MediaRef(str(tmp_path / "a.docx")))) == 2

    def test_a_first_start_that_only_makes_settings_is_repeated(
        self, reader, tmp_path, monkeypatch
    ) -> None:
        script = f"[ -e profile ] || {{ mkdir profile; exit 81; }}\n{COPY}"
        assert len(self.run(reader, tmp_path, monkeypatch, script)) == 2

    @pytest.mark.parametrize(
        ("script", "kind", "said"),
        [
            ("exit 0", "corrupt", "cannot open"),
            ("exit 1", "corrupt", "cannot open"),
            ("ln -s /etc/passwd document.pdf", "corrupt", "cannot open"),
            ("kill -SEGV $$", "decoder_crashed", "SIGSEGV"),
            ("echo nonsense > document.pdf", "unsupported", "nonsense"),
            ("ulimit -t 1; while :; do :; done", "too_large", "memory"),
        ],
    )
    def test_its_failure_is_one_error(
        self, reader, tmp_path, monkeypatch, script: str, kind: str, said: str
    ) -> None:
        error = self.run(reader, tmp_path, monkeypatch, script)
        assert isinstance(error, UnitError)
        assert (error.kind, said in error.message) == (kind, True), error.message

    def test_a_hang_is_a_timeout_that_names_the_limit(self, tmp_path, monkeypatch) -> None:
        limits = ReadLimits(decode_timeout_s=1)
        hasty = MediaReader(ReadPolicy(str(tmp_path)), DecodeOptions(kind="document"), limits)
        error = self.run(hasty, tmp_path, monkeypatch, "sleep 1000 & sleep 1000")
        hasty.close()
        assert isinstance(error, UnitError)
        assert error.kind == "timeout"
        assert "decode_timeout_s" in error.message

    @needs_landlock
    def test_other_files_cannot_be_read(self, reader, tmp_path, monkeypatch) -> None:
        (tmp_path / "secret.pdf").write_bytes(PDF)
        error = self.run(reader, tmp_path, monkeypatch, f"cp {tmp_path}/secret.pdf document.pdf")
        assert isinstance(error, UnitError)
        assert error.kind == "corrupt"

    @needs_landlock
    def test_other_folders_cannot_be_written(self, reader, tmp_path, monkeypatch) -> None:
        script = f"{COPY}\necho x > {tmp_path}/left; mkdir {tmp_path}/folder; rm {tmp_path}/a.docx"
        assert len(self.run(reader, tmp_path, monkeypatch, script)) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.docx", "bin"]

    def test_addresses_cannot_be_reached(self, reader, tmp_path, monkeypatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            reach = f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]} && {COPY}"
            assert isinstance(self.run(reader, tmp_path, monkeypatch, reach), UnitError)


def test_without_libreoffice_the_error_says_what_to_install(reader, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failure(reader, put(tmp_path, "a.odt", odt(["x"])))
    assert error.kind == "unsupported"
    assert "LibreOffice" in error.message
    assert "on every node" in error.message


def test_a_comic_book_needs_no_libreoffice(reader, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(parts(reader, put(tmp_path, "a.cbz", archive({"1.png": image_file(1)})))) == 1


@pytest.mark.parametrize("suffix", MAKERS)
def test_a_document_is_known_by_what_is_in_it(suffix: str) -> None:
    assert office_suffix(MAKERS[suffix](["x"])) == suffix


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (docx(["x"])[:-40], "corrupt", "ends early"),
        (odt(["x"], encrypted=True), "unsupported", "password"),
        (
            archive({"[Content_Types].xml": b"", "word/document.xml": b"\0" * (100 << 20)}),
            "too_large",
            "unpacks",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "unsupported", "encrypted"),
    ],
    ids=["cut", "encrypted", "bomb", "encrypted Word"],
)
def test_hostile_documents_are_refused_before_libreoffice(
    reader, tmp_path, data: bytes, kind: str, said: str
) -> None:
    error = failure(reader, put(tmp_path, "a.docx", data))
    assert (error.kind, said in error.message) == (kind, True), error.message
