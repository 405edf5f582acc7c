"""The project's path through vLLM gives what a plain-torch forward of the same weights gives.

Greedy tokens are compared, and the log-probabilities of the twenty likeliest tokens at each of
them. In float32 the two agree to 2e-5; a wrong order of tiles, channels or patches is off by 1 or
more, which is tested too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from internvl_ops.engines.base import Completion, Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.media.tiling import tile_image
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Media, Renderer
from testing.running_engine import RunningEngine
from tests.reference.internvl import AS_PUBLISHED, ReferenceInternVL, Variant, tile

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5}  # of log-probabilities
NOTICED = 0.9  # least difference that a wrong variant makes

# size of the image → the grid that the cards' rule gives it, for tiles of 112
GRIDS = {
    (90, 100): (1, 1),
    (219, 121): (2, 1),
    (331, 223): (3, 2),
    (107, 457): (1, 4),
    (448, 336): (4, 3),
}
WRONG = {
    "BGR": Variant(channels=(2, 1, 0)),
    "mean and deviation of another model": Variant(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "thumbnail first": Variant(thumbnail="first"),
    "columns before rows": Variant(tile_order="columns"),
    "patches transposed": Variant(pixel_shuffle="v1"),
    "class token kept": Variant(keeps_class_token_instead_of_last=True),
}


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture that is different in every tile and every channel."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 128 + 100 * np.sin(x / 17 + seed) * np.cos(y / 23)
    pixels = np.stack([x * 255 / width, y * 255 / height, waves], axis=-1).astype(np.uint8)
    pixels[height // 5 : height // 3, width // 2 : width // 2 + width // 4] = (250, 10, 30)
    pixels[height // 2 :, : width // 7] = (0, 200, 40)
    return Image.fromarray(pixels)


class Comparison:
    """One prompt through both: the project's tiles and prompt through vLLM, the reference's own
    tiles through torch."""

    def __init__(self, running: RunningEngine, reference: ReferenceInternVL) -> None:
        self.running = running
        self.reference = reference
        self.checkpoint = running.engine.checkpoint
        self.renderer = Renderer(self.checkpoint)

    def ask(
        self,
        images: Sequence[Image.Image],
        *,
        question: str = "Describe the picture.",
        history: Sequence[tuple[str, str]] = (),
        media: Media = "images",
        count: int = 12,
    ) -> tuple[np.ndarray, Completion]:
        size = self.checkpoint.tile_size
        tiles = [
            tile_image(
                image, tile_size=size, max_tiles=1 if media == "video" else 12, resize="exact"
            )
            for image in images
        ]
        rendered = self.renderer.render(
            question, [len(part) for part in tiles], history, media=media
        )
        hashes = [f"{image.size} {np.asarray(image).sum()}" for image in images]
        every = np.concatenate(tiles) if tiles else None
        request = Request("parity", rendered.token_ids, every, rendered.images, hashes)
        answer = self.running.generate(request, Sampling(count, ignore_stop=True, logprobs=20))
        return rendered.token_ids, answer

    def difference(
        self,
        prompt: np.ndarray,
        answer: Completion,
        tiles: np.ndarray | None,
        variant: Variant = AS_PUBLISHED,
    ) -> float:
        """Largest difference of a log-probability that vLLM reports."""
        expected = self.reference.logprobs(
            prompt, answer.token_ids[:-1], tiles, self.renderer.tokenizer.image_context_id, variant
        )
        return max(
            abs(float(expected[position, token]) - logprob)
            for position, likeliest in enumerate(answer.logprobs)
            for token, logprob in likeliest.items()
        )

    def greedy(self, prompt: np.ndarray, answer: Completion, tiles: np.ndarray | None) -> list[int]:
        context_id = self.renderer.tokenizer.image_context_id
        return self.reference.greedy(prompt, len(answer.token_ids), tiles, context_id)

    def reference_tiles(
        self,
        images: Sequence[Image.Image],
        grids: Sequence[tuple[int, int]],
        variant: Variant = AS_PUBLISHED,
    ) -> np.ndarray:
        size = self.checkpoint.tile_size
        return np.concatenate(
            [tile(i, *grid, size, variant) for i, grid in zip(images, grids, strict=True)]
        )


@pytest.fixture(scope="module")
def comparison(vllm_engine: RunningEngine, tiny_checkpoint: Path) -> Comparison:
    return Comparison(vllm_engine, ReferenceInternVL(tiny_checkpoint))


class TestFloat32:
    @pytest.mark.parametrize("size", GRIDS)
    def test_one_image(self, comparison: Comparison, size: tuple[int, int]) -> None:
        image = picture(*size)
        prompt, answer = comparison.ask([image])
        tiles = comparison.reference_tiles([image], [GRIDS[size]])
        assert comparison.difference(prompt, answer, tiles) < TOLERANCE[torch.float32]
        assert answer.token_ids == comparison.greedy(prompt, answer, tiles)

    def test_several_images(self, comparison: Comparison) -> None:
        sizes = [(331, 223), (90, 100), (219, 121)]
        images = [picture(*size, seed=place) for place, size in enumerate(sizes)]
        prompt, answer = comparison.ask(images, question="What differs?")
        tiles = comparison.reference_tiles(images, [GRIDS[size] for size in sizes])
        assert comparison.difference(prompt, answer, tiles) < TOLERANCE[torch.float32]
        assert answer.token_ids == comparison.greedy(prompt, answer, tiles)
        backwards = comparison.reference_tiles(images[::-1], [GRIDS[size] for size in sizes[::-1]])
        assert comparison.difference(prompt, answer, backwards) > NOTICED

    def test_frames_of_a_video(self, comparison: Comparison) -> None:
        frames = [picture(160, 90, seed=place) for place in range(5)]
        prompt, answer = comparison.ask(frames, question="What happens?", media="video")
        tiles = comparison.reference_tiles(frames, [(1, 1)] * 5)
        assert comparison.difference(prompt, answer, tiles) < TOLERANCE[torch.float32]
        assert answer.token_ids == comparison.greedy(prompt, answer, tiles)

    def test_text_only(self, comparison: Comparison) -> None:
        prompt, answer = comparison.ask([], question="Say something.")
        assert comparison.difference(prompt, answer, None) < TOLERANCE[torch.float32]
        assert answer.token_ids == comparison.greedy(prompt, answer, None)

    def test_second_turn(self, comparison: Comparison) -> None:
        image = picture(331, 223)
        prompt, answer = comparison.ask(
            [image], question="And the colour?", history=[("What is it?", "A square.")]
        )
        tiles = comparison.reference_tiles([image], [(3, 2)])
        assert comparison.difference(prompt, answer, tiles) < TOLERANCE[torch.float32]

    @pytest.mark.parametrize("wrong", WRONG)
    def test_what_is_wrong_would_be_noticed(self, comparison: Comparison, wrong: str) -> None:
        image = picture(331, 223)
        prompt, answer = comparison.ask([image])
        tiles = comparison.reference_tiles([image], [(3, 2)], WRONG[wrong])
        assert comparison.difference(prompt, answer, tiles, WRONG[wrong]) > NOTICED


@pytest.mark.slow
class TestBfloat16:
    """As checkpoints are published; starts an engine of its own."""

    @pytest.fixture(scope="class")
    def comparison(self, checkpoint: Checkpoint, tiny_checkpoint: Path) -> Iterator[Comparison]:
        running = RunningEngine(VllmEngine(checkpoint))
        yield Comparison(running, ReferenceInternVL(tiny_checkpoint, torch.bfloat16))
        running.close()

    @pytest.mark.parametrize("size", GRIDS)
    def test_one_image(self, comparison: Comparison, size: tuple[int, int]) -> None:
        image = picture(*size)
        prompt, answer = comparison.ask([image])
        tiles = comparison.reference_tiles([image], [GRIDS[size]])
        assert comparison.difference(prompt, answer, tiles) < TOLERANCE[torch.bfloat16]

    @pytest.mark.parametrize("wrong", WRONG)
    def test_what_is_wrong_would_be_noticed(self, comparison: Comparison, wrong: str) -> None:
        image = picture(331, 223)
        prompt, answer = comparison.ask([image])
        tiles = comparison.reference_tiles([image], [(3, 2)], WRONG[wrong])
        assert comparison.difference(prompt, answer, tiles, WRONG[wrong]) > NOTICED
