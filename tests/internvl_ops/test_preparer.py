"""From real files to tiles and prompts: each failure its own unit's, everything in order."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from internvl_ops.engines.base import Sampling
from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.clips import ClipOptions
from internvl_ops.media.document import DocumentOptions
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.file_cache import FileCache
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import WHOLE, DecodeOptions, Part
from internvl_ops.media.video import VideoOptions
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.preparer import (
    MediaReader,
    MediaRef,
    Prepared,
    Preparer,
    ReadLimits,
    Unit,
    tile_preview,
)
from internvl_ops.rendered import RenderedConversation
from internvl_ops.tasks import Conversation
from testing import corpus_documents, corpus_video
from testing.pictures import encoded, natural

IMAGES = DecodeOptions(image=ImageOptions(max_tiles=6))
PAGES = DecodeOptions(kind="document", document=DocumentOptions(max_tiles=2))
FRAMES = DecodeOptions(kind="video", video=VideoOptions(num_frames=4))
CLIPS = replace(FRAMES, clips=ClipOptions(by="length", length_s=1.0))

MakePreparer = Callable[..., Preparer]


class CountingServer:
    """A web server for a folder that counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.hits: list[str] = []
        hits = self.hits

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                hits.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, directory=str(folder))
        )
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media of every kind."""
    folder = tmp_path_factory.mktemp("media")
    for name, size in {
        "wide": (800, 200),
        "tall": (150, 450),
        "square": (120, 120),
        "large": (640, 480),
    }.items():
        (folder / f"{name}.png").write_bytes(encoded(natural(*size, seed=len(name)), "PNG"))
    (folder / "broken.jpg").write_bytes(encoded(natural(64, 64), "JPEG")[:200])
    (folder / "book.pdf").write_bytes(corpus_documents.make(corpus_documents.Document(pages=4)))
    (folder / "film.mp4").write_bytes(corpus_video.make(corpus_video.Clip(frames=75)))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[CountingServer]:
    server = CountingServer(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def make_preparer(
    folder: Path, server: CountingServer, checkpoint: Checkpoint
) -> Iterator[MakePreparer]:
    """Makes preparers by their media options; one for the same options."""
    made: dict[str, Preparer] = {}

    def make(options: DecodeOptions = IMAGES) -> Preparer:
        reading = (
            ReadPolicy(str(folder), (server.address,)),
            options,
            ReadLimits(max_bytes=10_000_000),
        )
        return made.setdefault(repr(options), Preparer(checkpoint, reading, sampling=Sampling()))

    yield make
    for preparer in made.values():
        preparer.close()


def unit(*names: str, question: str = "What is this?", part: Part = WHOLE) -> Unit:
    return Unit([Conversation((question,), 30)], [MediaRef(name) for name in names], part)


def prompt(prepared: Prepared) -> RenderedConversation:
    (conversation,) = prepared.conversations
    return conversation


def fine(outcome: Prepared | UnitError) -> Prepared:
    assert isinstance(outcome, Prepared), outcome
    return outcome


def failure(outcome: Prepared | UnitError) -> UnitError:
    assert isinstance(outcome, UnitError)
    return outcome


class TestImages:
    def test_tiles_and_prompt_are_what_the_parts_make(
        self, make_preparer: MakePreparer, folder: Path, checkpoint: Checkpoint
    ) -> None:
        (outcome,) = make_preparer().prepare([unit("wide.png")])
        prepared = fine(outcome)
        options = IMAGES.for_tiles(checkpoint.tile_size, checkpoint.use_thumbnail).image
        expected = load_image((folder / "wide.png").read_bytes(), options)
        rendered = Renderer(checkpoint).render("What is this?", [len(expected.tiles)])
        assert np.array_equal(prepared.tiles, expected.tiles)
        assert np.array_equal(prompt(prepared).token_ids, rendered.token_ids)
        assert prompt(prepared).images == rendered.images
        assert (prepared.width, prepared.height) == (800, 200)
        assert prepared.notes == []

    def test_a_failure_is_its_units_own_and_order_is_kept(
        self, make_preparer: MakePreparer, server: CountingServer
    ) -> None:
        names = [
            "square.png",
            "broken.jpg",
            server.address + "wide.png",
            "missing.jpg",
            "/etc/hostname",
            "tall.png",
            "square.png",
        ]
        outcomes = make_preparer().prepare([unit(name) for name in names])
        assert [fine(outcomes[place]).width for place in (0, 2, 5, 6)] == [120, 800, 150, 120]
        assert [
            (failure(outcomes[place]).stage, failure(outcomes[place]).kind) for place in (1, 3, 4)
        ] == [
            ("decode", "corrupt"),
            ("fetch", "not_found"),
            ("fetch", "refused"),
        ]
        assert "broken.jpg" in failure(outcomes[1]).message

    def test_one_bad_image_of_several_fails_its_unit_once(
        self, make_preparer: MakePreparer
    ) -> None:
        several = unit("wide.png", "broken.jpg", "missing.jpg", "tall.png")
        outcomes = make_preparer().prepare([several, unit("square.png")])
        assert failure(outcomes[0]).kind in ("corrupt", "not_found")
        assert fine(outcomes[1]).width == 120

    def test_several_images_share_the_tiles_and_the_first_gives_the_size(
        self, make_preparer: MakePreparer
    ) -> None:
        alone, together = map(
            fine, make_preparer().prepare([unit("wide.png"), unit("wide.png", "tall.png")])
        )
        assert prompt(alone).images[0].num_tiles == 4 + 1  # of 6; the thumbnail is one more
        assert [image.num_tiles for image in prompt(together).images] == [3 + 1, 3 + 1]  # of 3 each
        assert len(together.tiles) == 8
        assert len(together.hashes) == 2
        assert (together.width, together.height) == (800, 200)

    def test_they_stand_in_the_prompt_in_their_order(self, make_preparer: MakePreparer) -> None:
        one, other = map(
            fine,
            make_preparer().prepare(
                [unit("wide.png", "square.png"), unit("square.png", "wide.png")]
            ),
        )
        first = prompt(one).images[0].num_tiles
        assert np.array_equal(one.tiles[:first], other.tiles[prompt(other).images[0].num_tiles :])
        assert one.hashes == other.hashes[::-1]

    def test_combined_they_stand_in_the_prompt_as_one(
        self, folder: Path, checkpoint: Checkpoint
    ) -> None:
        reading = ReadPolicy(str(folder)), IMAGES, ReadLimits()
        preparer = Preparer(checkpoint, reading, sampling=Sampling(), combine_images=True)
        (outcome,) = preparer.prepare([unit("wide.png", "tall.png")])
        preparer.close()
        prepared = fine(outcome)
        rendered = Renderer(checkpoint).render("<image>\nWhat is this?", [8])
        assert np.array_equal(prompt(prepared).token_ids, rendered.token_ids)
        assert [image.num_tiles for image in prompt(prepared).images] == [8]
        assert len(prepared.hashes) == 1
        assert prepared.tiles_per_image == [4, 4]

    def test_each_conversation_has_its_own_length_and_turns(
        self, make_preparer: MakePreparer, checkpoint: Checkpoint
    ) -> None:
        asked = [
            Conversation(("What is this?",), 30),
            Conversation(("Where?", "Why?"), 70, choices=("a", "b")),
        ]
        own = {"max_new_tokens": 5, "temperature": 0.5}
        one, other = make_preparer().prepare(
            [Unit(asked, [MediaRef("wide.png")]), Unit(asked, [MediaRef("wide.png")], sampling=own)]
        )
        first, second = fine(one).conversations
        assert (first.sampling.max_new_tokens, second.sampling.max_new_tokens) == (30, 70)
        assert (first.follow_ups, first.repair, first.sampling.choices) == ([], None, ())
        assert np.array_equal(second.follow_ups[0], Renderer(checkpoint).follow_up("Why?"))
        assert second.repair is not None
        assert second.sampling.choices == ("a", "b")
        assert {each.sampling.max_new_tokens for each in fine(other).conversations} == {5}
        assert {each.sampling.temperature for each in fine(other).conversations} == {0.5}

    def test_bytes_in_the_row_are_limited_as_files_are(self, folder: Path) -> None:
        reader = MediaReader(ReadPolicy(str(folder)), IMAGES, ReadLimits(max_bytes=1000))
        try:
            row = Unit((), [MediaRef("a.png", b"x" * 1000), MediaRef("b.png", b"x" * 1001)])
            (_, _, small), (_, _, large) = reader.files([row])
        finally:
            reader.close()
        assert small == b"x" * 1000
        assert isinstance(large, UnitError)
        assert (large.kind, "`max_bytes`" in large.message, "b.png" in large.message) == (
            "too_large",
            True,
            True,
        )

    def test_bytes_in_the_row(self, make_preparer: MakePreparer, folder: Path) -> None:
        data = (folder / "tall.png").read_bytes()
        inline = Unit([Conversation(("What is this?",), 30)], [MediaRef("", data)])
        broken = Unit([Conversation(("What is this?",), 30)], [MediaRef("", b"no image")])
        outcomes = make_preparer().prepare([inline, broken, unit("tall.png")])
        assert np.array_equal(fine(outcomes[0]).tiles, fine(outcomes[2]).tiles)
        assert fine(outcomes[0]).hashes == fine(outcomes[2]).hashes
        assert failure(outcomes[1]).kind == "unsupported"

    def test_a_question_without_an_image(
        self, make_preparer: MakePreparer, checkpoint: Checkpoint
    ) -> None:
        (outcome,) = make_preparer().prepare([unit(question="Why?")])
        prepared = fine(outcome)
        side = checkpoint.tile_size
        assert (prepared.tiles.shape, prompt(prepared).images, prepared.hashes) == (
            (0, 3, side, side),
            [],
            [],
        )
        assert (prepared.width, prepared.height) == (0, 0)
        assert tile_preview(prepared) is None

    def test_a_question_that_does_not_fit(self, make_preparer: MakePreparer) -> None:
        outcomes = make_preparer().prepare(
            [unit("square.png", question="why " * 20_000), unit("square.png")]
        )
        assert (failure(outcomes[0]).stage, failure(outcomes[0]).kind) == (
            "render",
            "prompt_too_long",
        )
        assert fine(outcomes[1]).width == 120

    def test_nothing_to_prepare(self, make_preparer: MakePreparer) -> None:
        assert make_preparer().prepare([]) == []


class TestHashes:
    """Equal hashes promise equal tiles: the engine encodes such an image once."""

    def hashes(
        self, make_preparer: MakePreparer, asked: Unit, options: DecodeOptions = IMAGES
    ) -> list[str]:
        (outcome,) = make_preparer(options).prepare([asked])
        return fine(outcome).hashes

    def test_the_same_file_under_any_name_and_question(
        self, make_preparer: MakePreparer, server: CountingServer
    ) -> None:
        expected = self.hashes(make_preparer, unit("large.png"))
        assert (
            self.hashes(make_preparer, unit(server.address + "large.png", question="Why?"))
            == expected
        )

    def test_another_file(self, make_preparer: MakePreparer) -> None:
        assert self.hashes(make_preparer, unit("wide.png")) != self.hashes(
            make_preparer, unit("large.png")
        )

    def test_other_options(self, make_preparer: MakePreparer) -> None:
        other = replace(IMAGES, image=ImageOptions(max_tiles=2))
        expected = self.hashes(make_preparer, unit("large.png"))
        assert self.hashes(make_preparer, unit("large.png"), other) != expected

    def test_among_other_images_it_has_fewer_tiles(self, make_preparer: MakePreparer) -> None:
        alone = self.hashes(make_preparer, unit("large.png"))
        assert alone[0] not in self.hashes(make_preparer, unit("large.png", "wide.png"))
        twice = self.hashes(make_preparer, unit("large.png", "large.png"))
        assert twice[0] == twice[1]

    def test_other_parts_and_frames(self, make_preparer: MakePreparer) -> None:
        pages = [
            self.hashes(make_preparer, unit("book.pdf", part=Part(page=page)), PAGES)
            for page in (1, 2)
        ]
        assert pages[0] != pages[1]
        clips = [
            self.hashes(
                make_preparer, unit("film.mp4", part=Part(start=start, end=start + 1.0)), CLIPS
            )
            for start in (0.0, 1.0)
        ]
        assert len({*clips[0], *clips[1]}) == 8


class TestVideos:
    def test_a_whole_video(self, make_preparer: MakePreparer, checkpoint: Checkpoint) -> None:
        (outcome,) = make_preparer(FRAMES).prepare([unit("film.mp4")])
        prepared = fine(outcome)
        assert [image.num_tiles for image in prompt(prepared).images] == [1, 1, 1, 1]
        assert (prepared.width, prepared.height) == (320, 180)
        rendered = Renderer(checkpoint).render("What is this?", [1] * 4, media="video")
        assert np.array_equal(prompt(prepared).token_ids, rendered.token_ids)

    def test_a_clip_is_frames_of_its_own_seconds(self, make_preparer: MakePreparer) -> None:
        clips = [
            unit("film.mp4", part=Part(start=second, end=second + 1)) for second in (0.0, 1.0, 2.0)
        ]
        prepared = [fine(outcome) for outcome in make_preparer(CLIPS).prepare(clips)]
        assert len({each.tiles.tobytes() for each in prepared}) == 3

    def test_finding_scenes_for_too_long_names_the_option_and_is_not_tried_again(
        self, folder: Path
    ) -> None:
        clip = corpus_video.Clip("mpeg4", width=16, height=16, frames=5_000, numbered=False)
        media = MediaRef("long.mp4", corpus_video.make(clip))
        options = DecodeOptions(kind="video", clips=ClipOptions(by="scenes"))
        with contextlib.closing(
            MediaReader(ReadPolicy(str(folder)), options, ReadLimits(decode_timeout_s=0.5))
        ) as reader:
            found = reader.list_parts(Unit((), [media]))
        assert isinstance(found, UnitError)
        assert (found.stage, found.kind, found.retriable) == ("explode", "too_large", False)
        assert "`decode_timeout_s`" in found.message

    def test_its_units_are_its_clips(self, make_preparer: MakePreparer) -> None:
        parts = make_preparer(CLIPS)._media.list_parts(unit("film.mp4"))
        assert [(round(part.start), round(part.end)) for part in parts] == [(0, 1), (1, 2), (2, 3)]  # type: ignore

    def test_bytes_in_the_row(self, make_preparer: MakePreparer, folder: Path) -> None:
        inline = Unit(
            [Conversation(("What is this?",), 30)],
            [MediaRef("", (folder / "film.mp4").read_bytes())],
        )
        one, other = map(fine, make_preparer(FRAMES).prepare([inline, unit("film.mp4")]))
        assert np.array_equal(one.tiles, other.tiles)


class TestDocuments:
    def test_the_pages_of_a_file_fetch_it_once(
        self, folder: Path, server: CountingServer, checkpoint: Checkpoint
    ) -> None:
        reading = ReadPolicy(str(folder), (server.address,)), PAGES, ReadLimits()
        preparer = Preparer(checkpoint, reading, sampling=Sampling())
        server.hits.clear()
        book = server.address + "book.pdf"
        try:
            pages = [unit(book, part=Part(page=page)) for page in (1, 2, 3, 4)]
            with ThreadPoolExecutor(4) as threads:  # as the blocks of one actor come
                outcomes = [
                    fine(done[0])
                    for done in threads.map(lambda page: preparer.prepare([page]), pages)
                ]
        finally:
            preparer.close()
        assert server.hits == ["/book.pdf"]
        assert len({outcome.tiles.tobytes() for outcome in outcomes}) == 4
        assert (
            outcomes[0].width < outcomes[0].height,
            prompt(outcomes[0]).images[0].num_tiles,
        ) == (True, 3)

    def test_its_units_are_its_pages(self, folder: Path) -> None:
        reader = MediaReader(ReadPolicy(str(folder)), replace(PAGES, pages="2-3,9"), ReadLimits())
        try:
            assert reader.list_parts(unit("book.pdf")) == [Part(page=2), Part(page=3)]
            broken, missing = (
                reader.list_parts(unit("broken.jpg")),
                reader.list_parts(unit("missing.pdf")),
            )
        finally:
            reader.close()
        assert isinstance(broken, UnitError)
        assert broken.stage == "explode"
        assert isinstance(missing, UnitError)
        assert (missing.stage, missing.kind) == ("fetch", "not_found")

    def test_a_file_that_is_not_there_fails_each_of_its_pages(
        self, make_preparer: MakePreparer
    ) -> None:
        pages = [unit("missing.pdf", part=Part(page=1)), unit("book.pdf", part=Part(page=1))]
        outcomes = make_preparer(PAGES).prepare(pages)
        assert failure(outcomes[0]).kind == "not_found"
        assert fine(outcomes[1]).width > 0

    def test_a_page_that_is_not_there(self, make_preparer: MakePreparer) -> None:
        (outcome,) = make_preparer(PAGES).prepare([unit("book.pdf", part=Part(page=7))])
        assert "book.pdf" in failure(outcome).message


class TestFileCache:
    @pytest.fixture
    def fetcher(self, tmp_path: Path) -> Iterator[Fetcher]:
        for number in range(5):
            (tmp_path / f"{number}.bin").write_bytes(bytes([number]) * 1000)
        fetcher = Fetcher(ReadPolicy(str(tmp_path)))
        yield fetcher
        fetcher.close()

    @pytest.mark.parametrize("limit", [{"max_files": 2}, {"max_bytes": 2500}])
    def test_the_longest_unused_goes_first(self, fetcher: Fetcher, limit: dict[str, int]) -> None:
        cache = FileCache(fetcher, **limit)  # type: ignore[arg-type]
        try:
            paths = [cache.path(f"{number}.bin") for number in (0, 1, 0, 2)]
            assert [os.path.exists(path) for path in paths] == [True, False, True, True]
            assert Path(cache.path("1.bin")).read_bytes() == bytes([1]) * 1000  # fetched anew
        finally:
            cache.close()
        assert not os.path.exists(os.path.dirname(paths[0]))

    def test_the_file_asked_for_is_kept_even_if_it_is_too_large(self, fetcher: Fetcher) -> None:
        cache = FileCache(fetcher, max_bytes=10)
        try:
            assert os.path.exists(cache.path("0.bin"))
        finally:
            cache.close()

    def test_a_full_disk_leaves_no_half_file(self, fetcher: Fetcher) -> None:
        cache = FileCache(fetcher)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
            try:
                with pytest.raises(UnitError, match="TMPDIR") as full:
                    cache.path("3.bin")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert full.value.kind == "storage"
            assert full.value.retriable
            assert Path(cache.path("3.bin")).read_bytes() == bytes([3]) * 1000
        finally:
            cache.close()


@pytest.mark.parametrize("name", ["wide.png", "tall.png", "square.png"])
def test_the_preview_has_the_images_shape(
    make_preparer: MakePreparer, folder: Path, name: str
) -> None:
    (outcome,) = make_preparer().prepare([unit(name)])
    jpeg = tile_preview(fine(outcome))
    assert jpeg is not None
    picture, original = Image.open(io.BytesIO(jpeg)), Image.open(folder / name)
    assert picture.format == "JPEG"
    assert max(picture.size) == 320
    assert picture.width / picture.height == pytest.approx(
        original.width / original.height, rel=0.02
    )
    # And it shows the image, not one of its tiles.
    whole = np.asarray(original.convert("RGB").resize(picture.size), np.float32)
    assert np.abs(np.asarray(picture, np.float32) - whole).mean() < 12
