"""Units as texts and pictures: what a server cuts out of the pictures are the tiles that this side
would have made."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from internvl_ops.chat_preparer import ChatPreparer
from internvl_ops.engines.base import Completion, Request, Sampling
from internvl_ops.errors import UnitError
from internvl_ops.generation import Generator, Retries
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.document import DocumentOptions
from internvl_ops.media.image import load_picture
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import WHOLE, DecodeOptions, Part
from internvl_ops.media.tiling import tile_image
from internvl_ops.media.video import VideoOptions
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.preparer import MediaRef, Prepared, Preparer, ReadLimits, Unit
from internvl_ops.rendered import ChatConversation, Shown
from internvl_ops.tasks import Conversation
from testing import corpus_documents, corpus_video
from testing.pictures import encoded, natural

LIMITS = ReadLimits(max_bytes=10_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, size in {"wide": (800, 200), "tall": (150, 450), "small": (90, 80)}.items():
        (folder / f"{name}.png").write_bytes(encoded(natural(*size, seed=len(name)), "PNG"))
    (folder / "photo.jpg").write_bytes(encoded(natural(640, 480), "JPEG"))
    (folder / "broken.jpg").write_bytes(encoded(natural(64, 64), "JPEG")[:200])
    (folder / "book.pdf").write_bytes(corpus_documents.make(corpus_documents.Document(pages=2)))
    (folder / "film.mp4").write_bytes(corpus_video.make(corpus_video.Clip(frames=75)))
    return folder


@pytest.fixture(scope="module")
def both(folder: Path, checkpoint: Checkpoint) -> Iterator[Any]:
    """A unit prepared as tiles, and as pictures."""
    made: list[Any] = []

    def prepare(options: DecodeOptions, unit: Unit) -> tuple[Prepared, Prepared]:
        reading = ReadPolicy(str(folder), ()), options, LIMITS
        preparers = (
            Preparer(checkpoint, reading, sampling=Sampling()),
            ChatPreparer(reading, sampling=Sampling(), tile_size=checkpoint.tile_size),
        )
        made.extend(preparers)
        (tiled,), (pictured,) = (preparer.prepare([unit]) for preparer in preparers)
        assert isinstance(tiled, Prepared), tiled
        assert isinstance(pictured, Prepared), pictured
        return tiled, pictured

    yield prepare
    for preparer in made:
        preparer.close()


def unit(
    *names: str, question: str = "What is this?", part: Part = WHOLE, more: Sequence[str] = ()
) -> Unit:
    return Unit([Conversation((question, *more), 30)], [MediaRef(name) for name in names], part)


def chat_of(prepared: Prepared) -> ChatConversation:
    (conversation,) = prepared.conversations
    assert isinstance(conversation, ChatConversation)
    return conversation


def cut_by_a_server(prepared: Prepared, checkpoint: Checkpoint) -> np.ndarray:
    max_tiles = chat_of(prepared).chat.max_tiles or 1
    tiles = [
        tile_image(
            Image.open(io.BytesIO(file)).convert("RGB"), tile_size=checkpoint.tile_size,
            max_tiles=max_tiles
        )
        for file in prepared.pictures
    ]  # fmt: skip
    return np.concatenate(tiles)


IMAGES = DecodeOptions(image=ImageOptions(max_tiles=6))
CASES = {
    "one image": (IMAGES, ["wide.png"], WHOLE),
    "a photograph": (IMAGES, ["photo.jpg"], WHOLE),
    "images that share the tiles": (IMAGES, ["wide.png", "tall.png", "small.png"], WHOLE),
    "frames": (DecodeOptions(kind="video", video=VideoOptions(num_frames=4)), ["film.mp4"], WHOLE),
    "a page": (
        DecodeOptions(kind="document", document=DocumentOptions(max_tiles=20)),
        ["book.pdf"],
        Part(page=2),
    ),
    "a page at a resolution": (
        DecodeOptions(kind="document", document=DocumentOptions(max_tiles=6, dpi=60)),
        ["book.pdf"],
        Part(page=1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_server_cuts_out_the_same_tiles(both: Any, checkpoint: Checkpoint, case: str) -> None:
    options, names, part = CASES[case]
    tiled, pictured = both(options, unit(*names, part=part))
    assert np.array_equal(cut_by_a_server(pictured, checkpoint), tiled.tiles)
    assert (pictured.width, pictured.height, pictured.notes) == (
        tiled.width,
        tiled.height,
        tiled.notes,
    )
    assert pictured.num_images == tiled.num_images == len(pictured.pictures)
    assert (pictured.num_tiles, tiled.num_tiles) == (None, len(tiled.tiles))


class TestQuestions:
    @pytest.mark.parametrize(
        ("names", "question", "asked"),
        [
            (["wide.png"], "What?", "<image>\nWhat?"),
            (["wide.png", "tall.png"], "Same?", "Image-1: <image>\nImage-2: <image>\nSame?"),
            (["wide.png", "tall.png"], "Is <image> like <image>?", "Is <image> like <image>?"),
            ([], "Two and two?", "Two and two?"),
        ],
    )
    def test_where_pictures_stand(
        self, both: Any, names: list[str], question: str, asked: str
    ) -> None:
        _, pictured = both(IMAGES, unit(*names, question=question, more=["Why?"]))
        assert (chat_of(pictured).chat.question, chat_of(pictured).follow_ups) == (asked, ["Why?"])

    def test_frames_are_numbered(self, both: Any) -> None:
        _, pictured = both(CASES["frames"][0], unit("film.mp4", question="What happens?"))
        assert chat_of(pictured).chat.question.startswith("Frame1: <image>\nFrame2: <image>\n")

    def test_what_fails_is_the_units_own(self, folder: Path) -> None:
        preparer = ChatPreparer((ReadPolicy(str(folder), ()), IMAGES, LIMITS), sampling=Sampling())
        lost, broken, fine = preparer.prepare(
            [
                unit("wide.png", question="<image> or <image>?"),
                unit("broken.jpg"),
                unit("small.png"),
            ]
        )
        assert isinstance(lost, UnitError)
        assert (lost.kind, lost.stage) == ("bad_row", "render")
        assert isinstance(broken, UnitError)
        assert broken.kind == "corrupt"
        assert isinstance(fine, Prepared)
        assert preparer.preview(fine) is not None
        preparer.close()


class TestPictures:
    def test_a_jpeg_is_handed_on_as_it_is(self) -> None:
        data = encoded(natural(64, 48), "JPEG")
        assert load_picture(data).data == data

    def test_a_turned_jpeg_is_made_upright_without_loss(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        file = io.BytesIO()
        natural(64, 48).save(file, "JPEG", exif=exif)
        picture = load_picture(file.getvalue())
        given = Image.open(io.BytesIO(picture.data))
        assert (given.format, given.size, (picture.width, picture.height)) == (
            "PNG",
            (48, 64),
            (48, 64),
        )
        stored = np.asarray(Image.open(file))
        assert np.array_equal(np.asarray(given), np.rot90(stored, -1))

    def test_transparency_is_laid_on_white(self) -> None:
        picture = load_picture(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"))
        assert Image.open(io.BytesIO(picture.data)).getpixel((0, 0)) == (255, 255, 255)


class Parrot:
    """An engine with no tokens that answers with what it was asked last."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def generate(self, request: Request, sampling: Sampling, watch: Any = None) -> Completion:
        self.asked.append(request)
        assert request.chat is not None
        return Completion([], 5, "stop", text=f"about {request.chat.question}", completion_tokens=2)


def test_conversations_without_a_tokenizer(both: Any) -> None:
    """Each question carries what was said before it, and the pictures."""
    _, pictured = both(IMAGES, unit("wide.png", question="What?", more=["Why?", "Sure?"]))
    engine = Parrot()
    generator = Generator(engine, None, retries=Retries(times=0))
    shown = Shown(pictures=pictured.pictures)
    (((first, second, third),),) = asyncio.run(
        generator.answer("unit", pictured.conversations, shown)
    )
    assert [first.text, second.text, third.text] == [
        "about <image>\nWhat?",
        "about Why?",
        "about Sure?",
    ]
    last = engine.asked[-1].chat
    assert last is not None
    assert list(last.history) == [("<image>\nWhat?", first.text), ("Why?", second.text)]
    assert all(
        request.chat and list(request.chat.pictures) == pictured.pictures
        for request in engine.asked
    )


def test_an_answer_of_the_wrong_form_is_asked_for_again(both: Any) -> None:
    schema = '{"type": "object"}'
    asked = Unit([Conversation(("Which?",), 30, json_schema=schema)], [])
    _, pictured = both(replace(IMAGES), asked)
    engine = Parrot()
    asyncio.run(
        Generator(engine, None, retries=Retries(times=0)).answer(
            "unit", pictured.conversations, Shown()
        )
    )
    assert len(engine.asked) == 2
    assert engine.asked[1].chat is not None
    assert engine.asked[1].chat.history[0][0] == "Which?"
