"""A process that uses the library keeps its own settings of Pillow and the others."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageFile

from internvl_ops.errors import UnitError
from internvl_ops.media.image import decode_image, image_size, load_image, load_picture
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.library_settings import decoder_settings
from internvl_ops.media.small import small_jpeg_of

ROOT = Path(__file__).parents[3]


def settings() -> tuple[Any, ...]:
    options = pillow_heif.options
    heif = (options.DECODE_THREADS, options.THUMBNAILS, options.DEPTH_IMAGES, options.AUX_IMAGES)
    return (
        Image.MAX_IMAGE_PIXELS,
        ImageFile.LOAD_TRUNCATED_IMAGES,
        heif,
        logging.getLogger("tifffile").disabled,
    )


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "ICO", "TIFF"])
@pytest.mark.parametrize(
    "read",
    [
        load_image,
        load_picture,
        image_size,
        lambda data: decode_image(data, ImageOptions(truncated="accept")),
        lambda data: small_jpeg_of(data, 4, 3),
    ],
)
def test_reading_leaves_settings_as_they_were(
    monkeypatch: pytest.MonkeyPatch, format: str, read: Callable[[bytes], Any]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    before = settings()
    for data in (encoded(format), encoded(format)[:-20], b"no image"):
        with contextlib.suppress(UnitError, OSError):  # how it ends does not matter here
            read(data)
        assert settings() == before


def test_the_limit_of_the_process_is_not_that_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's own limit holds for what it reads, and the process's for what it reads itself."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert image_size(encoded("PNG")) == (40, 30)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(encoded("PNG")))


def test_the_last_of_several_threads_puts_them_back() -> None:
    before = settings()
    inside, leave = threading.Barrier(2), threading.Event()

    def read() -> None:
        with decoder_settings("accept"):
            inside.wait(10)
            leave.wait(10)

    other = threading.Thread(target=read)
    other.start()
    with decoder_settings("accept"):
        inside.wait(10)
    during = settings()
    leave.set()
    other.join()
    assert during != before  # the other one still reads
    assert settings() == before


IMPORT = """
import importlib, logging, os, pkgutil, signal, sys, warnings
# a notebook's own
import numpy, pandas, PIL.Image, PIL.ImageFile, pillow_heif, pyarrow, ray, tifffile, cv2, fsspec
PIL.Image.init()

def state():
    heif = pillow_heif.options
    return {
        "pixels": PIL.Image.MAX_IMAGE_PIXELS, "cut": PIL.ImageFile.LOAD_TRUNCATED_IMAGES,
        "heif": {name: str(value) for name, value in vars(heif).items() if name.isupper()},
        "readers": sorted(PIL.Image.OPEN), "floats": numpy.geterr(), "threads": cv2.getNumThreads(),
        "environment": dict(os.environ), "path": list(sys.path),
        "warnings": list(map(str, warnings.filters)),
        "loggers": {name: (log.level, log.disabled, len(log.handlers))
                    for name, log in [("", logging.getLogger()),
                                      *logging.root.manager.loggerDict.items()]
                    if isinstance(log, logging.Logger)},
        "signals": [signal.getsignal(one)
                    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "hooks": (sys.excepthook, sys.unraisablehook), "recursion": sys.getrecursionlimit(),
    }

SLOW = ("vllm_plugin", "tiny", "__main__")  # loaded by an engine, in a process of the job's own
before = state()
for package in ("internvl_ops", "pipelines", "jobs"):
    for module in pkgutil.walk_packages([package], package + "."):
        if not any(part in module.name for part in SLOW):
            importlib.import_module(module.name)
after = state()
for name, value in before.items():
    if name == "loggers":  # libraries that come along bring loggers of their own
        after[name] = {one: after[name].get(one) for one in value}
    if name == "warnings":
        value, after[name] = set(value), set(after[name]) & set(value)
    assert value == after[name], (name, value, after[name])
"""


def test_importing_changes_nothing_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
