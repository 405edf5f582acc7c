"""Fuzzes `load_image`; needs atheris: python -m tests.fuzz_image FOLDER_FOR_INPUTS
-max_total_time=600 -timeout=20"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "pillow_heif", "internvl_ops"]):
    from internvl_ops.errors import UnitError
    from internvl_ops.media.image import load_image
    from internvl_ops.media.image_options import ImageOptions

from testing.corpus import DAMAGED
from testing.corpus_images import image_entries

OPTIONS = [
    ImageOptions(tile_size=14, max_pixels=300_000),
    ImageOptions(
        tile_size=14, max_pixels=300_000, truncated="accept", alpha="drop", jpeg_scaling=True
    ),
]


def one_input(data: bytes) -> None:
    for options in OPTIONS:
        try:
            image = load_image(data, options)
        except UnitError as error:
            if error.kind not in DAMAGED or error.stage != "decode":
                raise
        else:
            assert image.tiles.shape[1:] == (3, 14, 14)
            assert image.width >= 1
            assert image.height >= 1


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for entry in image_entries():
        if len(entry.data) < 20_000:
            (folder / entry.name).write_bytes(entry.data)
    atheris.Setup([*sys.argv, "-max_len=20000", "-rss_limit_mb=4096"], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
