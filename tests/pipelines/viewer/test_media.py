"""Pictures, pages and clips: as the run could read them, and nothing else; without them all the
rest is there."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import caption
from pipelines.viewer.media import SIDES, Shelf
from pipelines.viewer.outputs import Access, ViewedOutput
from testing import corpus_video, viewed
from tests.pipelines.viewer.conftest import Client


def picture(client: Client, id: str, status: int = 200, **query: object) -> Image.Image:
    answer = client.http.get("/picture", params={"id": id, **query})
    assert answer.status_code == status, answer.text
    assert status != 200 or answer.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content)) if status == 200 else Image.new("RGB", (1, 1))


def test_a_picture_is_a_jpeg_made_here(looking: Client, captions: Path) -> None:
    shown = picture(looking, "unit-002", size="large")
    assert shown.size == (320, 220)
    original = Image.open(captions.parent / "pictures" / "002.jpg")
    assert np.abs(np.asarray(shown, float) - np.asarray(original, float)).mean() < 4
    assert max(picture(looking, "unit-002", size="small").size) <= SIDES["small"]


def test_a_file_that_is_no_picture_is_said(looking: Client) -> None:
    picture(looking, "broken", 404, table="errors")
    told = looking.get("media", id="broken", table="errors", place=0)
    assert told["error"].startswith("unsupported: broken.jpg: ")


def test_a_picture_that_is_not_named_cannot_be_asked_for(looking: Client) -> None:
    picture(looking, "no such unit", 404)
    picture(looking, "unit-000", 404, place=1)
    picture(looking, "unit-000", 404, frame=1)
    assert (
        looking.http.get("/picture", params={"id": "unit-000", "size": "huge"}).status_code == 404
    )


@pytest.fixture
def pages(tmp_path: Path) -> Client:
    return Client(viewed.pages(tmp_path))


def test_pages_of_a_document(pages: Client) -> None:
    shown = picture(pages, "letter.pdf#page=2", size="large")
    assert shown.height > shown.width > 600
    unit = pages.get("unit", id="letter.pdf#page=2")
    assert unit["beside"] == {"before": "letter.pdf#page=1", "after": "letter.pdf#page=3"}
    assert unit["rendered"]["text"][0]["tag"] == "h1"
    assert unit["files"] == ["letter.pdf"]
    whole = pages.get("unit", id="letter.pdf", table="documents")
    assert (whole["values"]["num_pages"], whole["answers"]) == (3, ["text"])
    pages.close()


def test_frames_of_a_clip(tmp_path: Path) -> None:
    client = Client(viewed.clips(tmp_path))
    told = client.get("media", id="film.mp4#clip=2", size="large")
    assert told["frames"] == len(told["times"]) == 4
    assert all(1 <= time < 2 for time in told["times"])
    for frame, time in enumerate(told["times"]):
        shown = picture(client, "film.mp4#clip=2", size="large", frame=frame)
        assert shown.width / shown.height == pytest.approx(320 / 180, abs=0.01)
        original = np.asarray(shown.resize((320, 180)))
        assert corpus_video.read_number(original) == round(time * 25)
    client.close()


def test_boxes_come_with_the_size_that_they_are_in(tmp_path: Path) -> None:
    client = Client(viewed.boxes(tmp_path))
    (row, *_) = client.get("rows")["rows"]
    assert (row["width"], row["height"]) == (400, 300)
    assert row["boxes"][0] == {"label": "the red square", "x1": 30, "y1": 40, "x2": 120, "y2": 130}
    client.close()


def test_an_output_without_its_pictures_shows_the_rest(tmp_path: Path) -> None:
    folder = viewed.captions(tmp_path, count=2)
    shutil.rmtree(tmp_path / "pictures")
    client = Client(folder)
    assert client.get("media", id="unit-000")["error"].startswith("not_found: ")
    assert client.get("unit", id="unit-000")["values"]["caption"] == viewed.CAPTIONS[0]
    client.close()


def test_only_what_the_run_could_read_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (9, 9), "red").save(secret)
    (tmp_path / "in").mkdir()
    rows = [{"id": "out", "image": str(secret), "caption": "x", "width": 9, "height": 9}]
    other = tmp_path / "in" / "other"
    viewed.write_output(
        other, tmp_path / "in" / "m.jsonl", caption(), rows, passthrough=viewed.IMAGE
    )
    client = Client(other)
    told = client.get("media", id="out")["error"]
    assert told.startswith("refused: ")
    assert f"--allow {tmp_path}" in told
    client.close()
    allowed = Client(other, access=Access(allow=(str(tmp_path),)))
    assert picture(allowed, "out").size == (9, 9)
    allowed.close()


def test_no_media_is_read_where_the_person_says_so(captions: Path) -> None:
    client = Client(captions, access=Access(media=False))
    assert client.get("outputs")["outputs"][0]["media"] is False
    assert "--no-media" in client.get("media", id="unit-000")["error"]
    client.close()


def test_media_that_moved_are_found_by_their_new_folder(tmp_path: Path) -> None:
    folder = viewed.captions(tmp_path, count=1)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    client = Client(folder, access=Access(media_root=str(tmp_path / "moved")))
    assert picture(client, "unit-000").size == (320, 200)
    client.close()


def test_an_output_without_a_record_shows_all_but_its_pictures(tmp_path: Path) -> None:
    folder = viewed.captions(tmp_path, count=1)
    shutil.rmtree(folder / "_runs")
    client = Client(folder)
    assert client.ids()[0] == "unit-000"
    assert client.get("media", id="unit-000")["error"].startswith("bad_row: ")
    client.close()


def test_pictures_are_kept_in_bounded_space(captions: Path, tmp_path: Path) -> None:
    client = Client(captions)
    kept = Shelf(client.viewer.outputs, tmp_path, max_bytes=40_000)
    client.viewer.shelf.close()
    client.viewer.shelf = kept
    for _ in range(2):
        for number in range(12):
            assert picture(client, f"unit-{number:03}", size="large").width == 320
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 60_000
    client.close()


def test_the_scratch_folder_goes_with_the_viewer(captions: Path) -> None:
    client = Client(captions)
    picture(client, "unit-000")
    scratch = client.viewer.scratch
    assert any(scratch.rglob("*.jpg"))
    assert scratch.stat().st_mode & 0o077 == 0
    client.close()
    assert not scratch.exists()


def test_a_folder_that_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no results"):
        ViewedOutput(str(tmp_path))
