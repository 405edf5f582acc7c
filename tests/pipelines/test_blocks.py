"""How many rows travel together. A block that Ray splits by its bytes may lose rows when a task is
retried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.media.tiling import share_tile_budget
from internvl_ops.models.checkpoints.config import Checkpoint
from pipelines.blocks import BLOCK_BYTES, Rows, plan_blocks, rows_of, rows_that_fit
from pipelines.options.job_options import JobOptions
from pipelines.sources import SourceOptions, plan_source

# Ray leaves a block whole that is up to half as large again as it should be.
RAY_SPLITS_ABOVE = 1.5 * BLOCK_BYTES
IMAGES = Rows("image", several=False)
TEXTS = Rows(None, several=False)
USUAL = 448  # pixels of a tile's side


def options(**given: object) -> JobOptions:
    return JobOptions.model_validate({"input": "in.jsonl", "output": "out", "model": "m", **given})


class TestWhatFits:
    @given(
        max_tiles=st.integers(1, 40),
        tile_size=st.sampled_from([28, 112, 224, 336, 448, 896, 1344]),
        images=st.integers(1, 1000),
    )
    def test_the_largest_images_stay_under_rays_block_size(
        self, checkpoint: Checkpoint, max_tiles: int, tile_size: int, images: int
    ) -> None:
        several = images > 1
        rows = rows_that_fit(
            options(max_tiles=max_tiles),
            replace(checkpoint, tile_size=tile_size),
            Rows("image", several=several),
        )
        each = share_tile_budget(max_tiles, images)
        tiles = images * (each + (each > 1))
        assert rows == 1 or rows * tiles * 3 * tile_size**2 < RAY_SPLITS_ABOVE

    @given(
        num_frames=st.integers(1, 600),
        fps=st.none() | st.floats(0.1, 60),
        tile_size=st.sampled_from([112, 448]),
    )
    def test_so_do_videos(
        self, checkpoint: Checkpoint, num_frames: int, fps: float | None, tile_size: int
    ) -> None:
        given = options(num_frames=num_frames, fps=fps)
        videos = Rows("video", several=False)
        rows = rows_that_fit(given, replace(checkpoint, tile_size=tile_size), videos)
        frames = num_frames if fps is None else 1
        assert rows == 1 or rows * frames * 3 * tile_size**2 < BLOCK_BYTES

    @given(size=st.integers(0, 1 << 26))
    def test_so_do_rows_with_long_columns(self, checkpoint: Checkpoint, size: int) -> None:
        rows = rows_that_fit(options(), checkpoint, replace(TEXTS, columns_bytes=size))
        assert rows == 1 or rows * size < BLOCK_BYTES

    @pytest.mark.parametrize("kind", ["image", "video", "document", None])
    def test_rows_of_any_number_of_files_travel_alone(
        self, checkpoint: Checkpoint, kind: str
    ) -> None:
        rows = Rows(kind, several=True, count=10**9)  # type: ignore[arg-type]
        assert plan_blocks(options(), checkpoint, rows, engines=1, in_flight=512).rows == 1


class TestPlanBlocks:
    def rows(self, checkpoint: Checkpoint, rows: Rows, **given: object) -> tuple[int, int]:
        checkpoint = replace(checkpoint, tile_size=USUAL)
        blocks = plan_blocks(options(**given), checkpoint, rows, engines=4, in_flight=512)
        return blocks.rows, blocks.held

    def test_usual_images_travel_by_eight(self, checkpoint: Checkpoint) -> None:
        assert self.rows(checkpoint, replace(IMAGES, count=10**9)) == (8, 64)

    def test_small_rows_travel_in_larger_blocks_of_which_an_engine_holds_more(
        self, checkpoint: Checkpoint
    ) -> None:
        assert self.rows(checkpoint, replace(TEXTS, count=10**9)) == (64, 3 * 512 // 64)
        size, held = self.rows(checkpoint, replace(IMAGES, count=10**9), max_tiles=1)
        assert 8 < size <= 64
        assert held * size >= 3 * 512

    @given(count=st.integers(0, 10**6), engines=st.integers(1, 500))
    def test_a_short_run_has_blocks_for_every_engine(
        self, checkpoint: Checkpoint, count: int, engines: int
    ) -> None:
        blocks = plan_blocks(options(), checkpoint, replace(TEXTS, count=count), engines, 512)
        assert blocks.rows == 8 or count // blocks.rows >= 32 * engines
        # none has so many in hand that the others run out of work
        assert blocks.held <= max(-(-512 // blocks.rows), count // (blocks.rows * engines * 4))

    @given(
        count=st.integers(0, 10**6),
        engines=st.integers(1, 500),
        in_flight=st.integers(1, 4096),
        max_tiles=st.integers(1, 40),
        asked=st.none() | st.integers(1, 5000),
    )
    def test_an_engine_always_holds_what_it_may_have_in_flight(
        self,
        checkpoint: Checkpoint,
        count: int,
        engines: int,
        in_flight: int,
        max_tiles: int,
        asked: int | None,
    ) -> None:
        given = options(max_tiles=max_tiles, rows_per_block=asked)
        rows = replace(IMAGES, count=count)
        blocks = plan_blocks(given, checkpoint, rows, engines, in_flight)
        assert blocks.rows * blocks.held >= in_flight
        assert blocks.rows <= in_flight or blocks.rows == asked

    def test_the_option_wins(self, checkpoint: Checkpoint) -> None:
        assert self.rows(checkpoint, TEXTS, rows_per_block=3)[0] == 3
        assert self.rows(checkpoint, IMAGES, rows_per_block=3)[0] == 3


class TestRowsOf:
    def rows(self, tmp_path: Path, lines: list[dict[str, str]], **given: object) -> Rows:
        manifest = tmp_path / "in.jsonl"
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        source = SourceOptions(uri=str(manifest), media_optional=True)
        return rows_of(options(**given), plan_source(source))

    def test_questions_have_no_media(self, tmp_path: Path) -> None:
        rows = self.rows(tmp_path, [{"question": "Why?" * 100}] * 300)
        assert (rows.media_kind, rows.count) == (None, 300)
        assert 400 <= rows.columns_bytes < 1000

    def test_a_part_has_its_share(self, tmp_path: Path) -> None:
        lines = [{"image": "a.jpg"}] * 300
        assert self.rows(tmp_path, lines, shard="2/3").count == 100
        assert self.rows(tmp_path, lines, shards=3).count == 100

    def test_how_many_pages_there_are_is_not_known(self, tmp_path: Path) -> None:
        rows = self.rows(tmp_path, [{"document": "a.pdf"}] * 300)
        assert (rows.media_kind, rows.count) == ("document", 0)
