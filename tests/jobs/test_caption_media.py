"""The caption job over documents and videos: a file becomes its pages or clips, and each is a unit
of its own."""

import io
import json

import pypdfium2 as pdfium
import pytest
from PIL import Image

from testing import corpus_video
from testing.commands import run_here
from tests.jobs.output import read_output

pytestmark = pytest.mark.usefixtures("ray_session")


def caption(folder, engine, manifest, *more):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in manifest))
    where = ("--input", folder / "rows.jsonl", "--output", folder / "out")
    small = ("--max-new-tokens", "4", "--max-tiles", "4")
    done = run_here("caption_dataset.py", *where, *small, *engine, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pdf(pages: int) -> bytes:
    document = pdfium.PdfDocument.new()
    for number in range(pages):
        document.new_page(200 + 100 * number, 300)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_documents_become_pages_and_a_second_run_adds_only_what_is_new(tmp_path, any_answer):
    (tmp_path / "a.pdf").write_bytes(pdf(3))
    (tmp_path / "broken.pdf").write_bytes(pdf(3)[:200])
    (tmp_path / "picture.pdf").write_bytes(b"")
    rows = [
        {"id": name, "document": f"{name}.pdf", "year": 7}
        for name in ("a", "broken", "picture", "missing")
    ]
    said = caption(tmp_path, any_answer, rows)
    assert "6 units in = 3 results + 3 errors + 0 already done" in said
    results, errors = read_output(tmp_path / "out")
    assert sorted(results.id) == ["a#page=1", "a#page=2", "a#page=3"]
    assert list(results.sort_values("id").page) == [1, 2, 3]
    assert set(results.parent) == {"a"}
    assert set(results.num_parts) == {3}
    assert set(results.year) == {7}
    widths = results.sort_values("page").width
    assert (
        widths.is_monotonic_increasing or results.sort_values("page").height.is_monotonic_decreasing
    )
    assert set(errors.id) == {"broken", "picture", "missing"}

    # Nothing is new, so that no engine is started; nobody is at this one's address. A finished
    # document is not read again.
    (tmp_path / "a.pdf").rename(tmp_path / "elsewhere")
    said = caption(tmp_path, any_answer, rows, "--base-url", "http://127.0.0.1:9/v1")
    assert "6 units in = 0 results + 0 errors + 3 already done + 3 already failed" in said

    (tmp_path / "elsewhere").rename(tmp_path / "a.pdf")
    (tmp_path / "b.pdf").write_bytes(pdf(2))
    said = caption(
        tmp_path, any_answer, [*rows, {"id": "b", "document": "b.pdf", "year": 8}], "--pages", "2-"
    )
    assert "6 units in = 1 results + 0 errors + 2 already done + 3 already failed" in said
    results, _ = read_output(tmp_path / "out")
    assert sorted(results.id) == ["a#page=1", "a#page=2", "a#page=3", "b#page=2"]


@pytest.mark.slow
def test_a_page_with_the_id_of_another_row_is_an_error_and_not_lost(tmp_path, any_answer):
    (tmp_path / "a.pdf").write_bytes(pdf(3))
    rows = [{"id": name, "document": "a.pdf"} for name in ("a", "a#page=2")]
    said = caption(tmp_path, any_answer, rows, "--pages", "1-2")
    assert "4 units in = 3 results + 1 errors + 0 already done" in said
    results, errors = read_output(tmp_path / "out")
    assert sorted(results.id) == ["a#page=1", "a#page=2#page=1", "a#page=2#page=2"]
    assert errors[["id", "kind", "stage"]].values.tolist() == [
        ["a#page=2", "duplicate_id", "explode"]
    ]
    said = caption(tmp_path, any_answer, rows, "--pages", "1-2")
    assert "4 units in = 0 results + 0 errors + 3 already done + 1 already failed" in said


def test_videos_become_clips_with_their_times(tmp_path, any_answer):
    clip = corpus_video.make(corpus_video.Clip(codec="h264", frames=60, fps=20))
    (tmp_path / "a.mp4").write_bytes(clip)
    (tmp_path / "broken.mp4").write_bytes(clip[:100])
    (tmp_path / "sound.mp4").write_bytes(corpus_video.audio_only())
    rows = [{"id": name, "video": f"{name}.mp4"} for name in ("a", "broken", "sound")]
    said = caption(tmp_path, any_answer, rows, "--clip-seconds", "1", "--num-frames", "3")
    assert "5 units in = 3 results + 2 errors + 0 already done" in said
    results, errors = read_output(tmp_path / "out")
    results = results.sort_values("id")
    assert list(results.id) == ["a#clip=1", "a#clip=2", "a#clip=3"]
    assert list(results.clip_start) == [0, 1, 2]
    assert list(results.clip_end) == [1, 2, 3]
    assert set(results.num_frames) == {3}
    assert dict(zip(errors.id, errors.kind, strict=True)) == {
        "broken": "corrupt",
        "sound": "unsupported",
    }


@pytest.mark.slow
def test_images_given_inline_need_no_file(tmp_path, model):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    struct = {"bytes": file.getvalue(), "path": "red.png"}
    pq.write_table(
        pa.table({"id": ["red", "none"], "image": [struct, None]}), tmp_path / "rows.parquet"
    )
    where = ("--input", tmp_path / "rows.parquet", "--output", tmp_path / "out", "--model", model)
    done = run_here("caption_dataset.py", *where, "--max-new-tokens", "4")
    assert done.returncode == 0, done.stderr
    results, errors = read_output(tmp_path / "out")
    assert results[["id", "width", "height", "image"]].values.tolist() == [
        ["red", 64, 48, "red.png"]
    ]
    assert errors[["id", "kind"]].values.tolist() == [["none", "bad_row"]]
