"""How a picture gets the shape of its tiles; see `internvl_ops.media.tiling.tile_image`."""

from __future__ import annotations

from typing import Literal

Fit = Literal["stretch", "pad", "crop"]
