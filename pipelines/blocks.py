"""How many rows travel together, and how many blocks an engine holds."""

from __future__ import annotations

from dataclasses import dataclass

from internvl_ops.media.kinds import MediaKind
from internvl_ops.media.video import VideoOptions
from internvl_ops.models.encoders.config import Encoder
from pipelines.ledger.shard import parse_shard
from pipelines.options.job_options import JobOptions
from pipelines.sources import SourcePlan
from pipelines.wiring.engines import Model
from pipelines.wiring.media import explodes

BLOCK_BYTES = 64 * 2**20
ROW_OVERHEAD = 2**16  # bytes of a row besides its tiles: ids, a preview
# More rows are cheaper to move, but all of them wait for the slowest one: docs/benchmarks.md
ROWS_PER_BLOCK = 8
MANY_ROWS_PER_BLOCK = 64  # of rows that are small
BLOCKS_PER_ENGINE = 32  # of a run, at least; fewer would leave engines without work at the end
HELD_SHARE = 4  # one in so many of its blocks, at most, an engine holds to make up for slow rows
WAITING = 3  # times the units in flight, in blocks that wait for their slowest row


@dataclass(frozen=True)
class Rows:
    """What is known of the rows of a run before it starts.

    Args:
        media_kind: Kind of their media; None if they have none.
        several: Whether a row may have more than one file. Each file has at least one tile, and the
            number of files is not known, so each of these rows travels alone.
        count: About how many there are; 0 if that is not known.
        columns_bytes: Bytes of a row's own columns.
    """

    media_kind: MediaKind | None
    several: bool = True
    count: int = 0
    columns_bytes: int = 0


def rows_of(options: JobOptions, plan: SourcePlan) -> Rows:
    """What the plan of the input says about its rows."""
    shard = parse_shard(options.shard)
    parts = options.shards if shard is None else shard.of
    return Rows(
        plan.media_kind if plan.media_column is not None else None,
        several=plan.several_media,
        # how many pages or clips a file has is known only after reading it
        count=0 if explodes(options, plan.media_kind) else plan.rows_about // parts,
        columns_bytes=plan.row_bytes,
    )


@dataclass(frozen=True)
class Blocks:
    """How rows travel.

    Args:
        rows: Rows of a block.
        held: Blocks that an engine holds at once.
    """

    rows: int
    held: int


def plan_blocks(
    options: JobOptions,
    checkpoint: Model | None,
    rows: Rows,
    engines: int,
    in_flight: int,
) -> Blocks:
    """Settles the blocks of a run.

    Each block costs Ray and the driver the same, whatever is in it, so small rows travel in larger
    blocks. Most rows of a large block wait for its slowest one; an engine holds more blocks to make
    up for them. There is memory for these, because rows of the usual size would take as much.

    Args:
        options: Options of the job; ``--rows-per-block`` overrides the number of rows.
        checkpoint: Gives the size of a tile.
        rows: What is known of the rows.
        engines: Number of engines.
        in_flight: Units that an engine has at once.
    """
    most = rows_that_fit(options, checkpoint, rows)
    small = most >= WAITING * ROWS_PER_BLOCK
    share = rows.count // (engines * BLOCKS_PER_ENGINE)
    size = min(most, in_flight, ROWS_PER_BLOCK)
    if small:
        size = min(most, in_flight, MANY_ROWS_PER_BLOCK, max(size, share))
    if options.rows_per_block is not None:
        size = options.rows_per_block
    needed = -(-in_flight // size)
    if small:
        more = rows.count // (engines * size * HELD_SHARE)
        return Blocks(size, max(needed, min(WAITING * needed, more)))
    return Blocks(size, needed)


def rows_that_fit(options: JobOptions, checkpoint: Model | None, rows: Rows) -> int:
    """Number of rows that surely stay below Ray's block size, so that no block is ever split.

    Ray splits a block that is too large by its bytes. If a retried task then produces other bytes,
    Ray cuts the block elsewhere, and rows are lost. Ray never splits a block of one row.
    """
    pictures = options.engine == "openai" and not isinstance(checkpoint, Encoder)
    if rows.several or pictures or checkpoint is None:
        return 1  # such a row may be of any size, and so may a picture that is not tiled here
    if isinstance(checkpoint, Encoder) and getattr(options, "pooling", None) == "none":
        return 1  # its answer is larger than its tiles, by how much depends on the model
    video_tiles = options.num_frames if options.fps is None else VideoOptions.max_frames
    tiles = {"video": video_tiles, None: 0}.get(rows.media_kind, options.max_tiles + 1)
    # the columns of other rows may be larger than those that were looked at
    row = tiles * 3 * checkpoint.tile_size**2 + ROW_OVERHEAD + 4 * rows.columns_bytes
    return max(1, BLOCK_BYTES // row)
