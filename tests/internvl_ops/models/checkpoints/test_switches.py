"""A checkpoint's own switches hold: tiles, thumbnail, padding, pixel shuffle, and what an absent
key means."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.media.fits import Fit
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions
from internvl_ops.media.tiling import tile_image
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from tests.reference.internvl import ReferenceInternVL, Variant

KEYS = (
    "dynamic_image_size",
    "use_thumbnail",
    "ps_version",
    "min_dynamic_patch",
    "max_dynamic_patch",
    "pad2square",
)


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def changed(folder: Path, *without: str, **values: Any) -> Checkpoint:
    config = json.loads((folder / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in without} | values
    (folder / "config.json").write_text(json.dumps(config))
    return load_checkpoint(str(folder))


def options(checkpoint: Checkpoint) -> ImageOptions:
    media = DecodeOptions(image=ImageOptions(min_tiles=2, max_tiles=12))
    fit: Fit = "pad" if checkpoint.pad_to_square else "stretch"
    return media.for_tiles(
        checkpoint.tile_size, checkpoint.use_thumbnail, dynamic=checkpoint.dynamic, fit=fit
    ).image


def test_absent_keys_mean_what_the_published_class_says(folder: Path) -> None:
    read = changed(folder, *KEYS)
    assert (read.dynamic, read.use_thumbnail, read.pixel_shuffle, read.pad_to_square) == (
        False,
        False,
        "v1",
        False,
    )
    read = changed(folder, *KEYS, dynamic_image_size=True)
    assert (read.min_tiles, read.max_tiles, read.use_thumbnail) == (1, 6, False)


@pytest.mark.parametrize("off", [{"dynamic_image_size": False}, {}])
def test_a_job_s_tiles_do_not_make_it_tile(folder: Path, off: dict[str, Any]) -> None:
    checkpoint = changed(folder, "dynamic_image_size", **off)
    made = options(checkpoint)
    assert (made.min_tiles, made.max_tiles) == (1, 1)
    forced = options(checkpoint.tiled(12))
    assert (forced.min_tiles, forced.max_tiles) == (2, 12)


@pytest.mark.parametrize("size", [(200, 100), (100, 203), (101, 64), (90, 90)])
def test_padding_to_a_square(folder: Path, size: tuple[int, int]) -> None:
    made = options(changed(folder, dynamic_image_size=False, pad2square=True))
    picture = Image.fromarray(
        np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    )
    tiles = tile_image(
        picture, tile_size=112, max_tiles=made.max_tiles, resize="exact", fit=made.fit
    )
    square = Image.new("RGB", (max(size), max(size)), (123, 116, 103))
    square.paste(picture, ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2))
    expected = np.asarray(square.resize((112, 112), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(tiles, expected[None])


def test_padding_is_no_matter_where_images_are_tiled(folder: Path) -> None:
    assert not changed(folder, pad2square=True).pad_to_square


def test_the_older_pixel_shuffle_in_plain_torch(folder: Path) -> None:
    checkpoint = changed(folder, ps_version="v1")
    rendered = Renderer(checkpoint).render("Describe.", [2])
    tiles = np.random.default_rng(2).integers(0, 256, (2, 3, 112, 112), np.uint8)
    engine = TransformersEngine(checkpoint, engine_args={"dtype": "float32"})

    async def ask() -> Any:
        await engine.start()
        request = Request("one", rendered.token_ids, tiles, rendered.images, ["noise"])
        return await engine.generate(request, Sampling(1, ignore_stop=True, logprobs=5))

    answer = asyncio.run(ask())
    reference = ReferenceInternVL(folder)
    context = Renderer(checkpoint).tokenizer.image_context_id
    for shuffle, agrees in (("v1", True), ("v2", False)):
        expected = reference.logprobs(
            rendered.token_ids, [], tiles, context, Variant(pixel_shuffle=shuffle)
        )[0]
        most = max(
            abs(float(expected[token]) - value) for token, value in answer.logprobs[0].items()
        )
        assert (most < 1e-3) == agrees
