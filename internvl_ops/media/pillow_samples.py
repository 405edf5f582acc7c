"""Interprets the samples of a picture that Pillow has decoded, and converts them to 8-bit RGB."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from internvl_ops.errors import UnitError
from internvl_ops.media import jpeg2000
from internvl_ops.media.samples import Samples, to_rgb

_MERGED_DATA = 1057  # resource of a PSD that says whether it holds a composite of its layers
_PSD_MODES = {0: (1, 8), 1: (8,), 2: (8,), 3: (8,), 4: (8,), 8: (8,), 9: (8,)}


def pillow_rgb(image: Any, data: bytes, alpha: str, notes: list[str]) -> np.ndarray:
    """Converts a decoded picture: uint8 of shape (height, width, 3).

    Args:
        image: The picture from Pillow.
        data: The file.
        alpha: "white" composites on white, "drop" ignores transparency.
        notes: Notes about decisions are appended.
    """
    if image.format == "PNG" and "transparency" in image.info:
        _scale_colour_key(image, data)
    if image.format == "PSD":
        image = _composite_of_layers(image, data)
    if image.format == "JPEG2000":
        image = _stretch_few_bits(image, data)
    if (deep := _deep_png(image, data, notes)) is not None:
        return to_rgb(*deep, alpha, notes)
    described = _deep_samples(image, data)
    if described is not None:
        pixels = np.asarray(image)
        if image.format == "PPM" and image.mode == "I":
            pixels = pixels.astype(np.uint16)
        if image.format == "PNG":
            described = replace(described, used_bits=_png_used_bits(data, pixels))
        if alpha == "white" and isinstance(key := image.info.get("transparency"), int):
            described = replace(described, nodata=float(key))
        return to_rgb(pixels, described, alpha, notes)
    return np.asarray(_shallow(image, alpha))


def psd_unread(data: bytes) -> UnitError | None:
    """The error for a Photoshop document that is sound but of an unsupported kind; None for any
    other."""
    if not data.startswith(b"8BPS") or len(data) < 26:
        return None
    version, bits, mode = (int.from_bytes(data[at : at + 2], "big") for at in (4, 22, 24))
    if version == 1 and bits in _PSD_MODES.get(mode, ()):
        return None
    what = (
        "a large Photoshop document (PSB)"
        if version == 2
        else f"PSD of colour mode {mode} with {bits}-bit channels"
    )
    return UnitError(
        "decode", "unsupported", f"{what}; save it as RGB with 8 bits a channel, or as JPEG or PNG"
    )


def _deep_samples(image: Any, data: bytes) -> Samples | None:
    """The samples' meaning, for modes that Pillow's own conversion would clip or does not support;
    else None."""
    mode = image.mode
    if mode == "LAB":
        return Samples(colours="lab", bits=8)
    if mode == "F":
        return Samples(colours="grey", bits=32)
    if mode.startswith("I"):
        # Pillow scales PGM of any depth to the full 16 bits, so the depth of these is known.
        known = image.format == "JPEG2000" or (image.format == "PPM" and _pnm_maximum(data) < 65535)
        return Samples(colours="grey", bits=32 if mode == "I" and image.format != "PPM" else 16,
                       maximum=65535 if known else None)  # fmt: skip
    return None


def _pnm_maximum(data: bytes) -> int:
    """The third number of a PGM or PPM header, comments aside."""
    lines = [line.split(b"#")[0] for line in data[:4096].splitlines()]
    words = b" ".join(lines).split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 65535


def _scale_colour_key(image: Any, data: bytes) -> None:
    """Scales a PNG's transparent colour to the depth to which Pillow has scaled the pixels."""
    bits, key = data[24], image.info["transparency"]
    if isinstance(key, int) and bits < 8 and image.mode in ("1", "L"):
        image.info["transparency"] = key * 255 // ((1 << bits) - 1)
    elif isinstance(key, tuple) and bits == 16 and image.mode == "RGB":
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _deep_png(image: Any, data: bytes, notes: list[str]) -> tuple[np.ndarray, Samples] | None:
    """The 16-bit samples of a PNG, where Pillow's cut to 8 bits may have lost too much; None for
    all others.

    It may lose too much if a transparent colour differs only in its lower bits, or if no sample
    uses the upper bits.
    """
    if (
        image.format != "PNG"
        or image.mode not in ("RGB", "RGBA", "LA")
        or data[24] != 16
        or image.is_animated
    ):
        return None
    shallow = np.asarray(image)
    colours = 1 if image.mode == "LA" else 3
    # of 12 bits
    if "transparency" not in image.info and shallow[..., :colours].max(initial=0) >= 1 << 4:
        return None
    import imagecodecs  # imported only when needed: it is large

    try:
        pixels = imagecodecs.png_decode(data)
    except imagecodecs.PngError as error:  # damaged at the end, which Pillow does not read
        notes.append(f"16-bit samples, of which only the upper 8 bits can be read: {error}")
        return None
    channels = pixels.shape[2]
    samples = Samples(
        colours="grey" if channels == 2 else "rgb",
        bits=16,
        alpha="straight" if channels in (2, 4) else "none",
        used_bits=_png_used_bits(data, pixels[..., :colours]),
    )
    return pixels, samples


def _png_used_bits(data: bytes, values: np.ndarray) -> int | None:
    """The used bits, by the chunk sBIT: 16 if the samples are stretched to the file's depth, as
    they should be."""
    start = data.find(b"sBIT", 33, data.find(b"IDAT"))
    size = int.from_bytes(data[start - 4 : start], "big")
    if start < 0 or not 1 <= size <= 4:
        return None
    used = max(data[start + 4 : start + 4 + size])
    if not 0 < used < 16 or values.max(initial=0) >> used:
        return 16
    stretched = not (values % (1 << (16 - used))).any()
    return 16 if stretched else used


def _stretch_few_bits(image: Any, data: bytes) -> Any:
    """Stretches samples of fewer than 8 bits. Pillow only shifts them up: white of one bit would be
    128."""
    found = jpeg2000.depth(data)
    if found is None or found.bits >= 8 or image.mode not in ("L", "LA", "RGB", "RGBA"):
        return image
    white = ((1 << found.bits) - 1) << (8 - found.bits)
    return image.point(
        [min(255, round(value * 255 / white)) for value in range(256)] * len(image.getbands())
    )


def _composite_of_layers(image: Any, data: bytes) -> Any:
    if any(number == _MERGED_DATA and value[4:5] == b"\0" for number, _, value in image.resources):
        message = (
            "PSD saved without a composite of its layers; save it with maximum compatibility, or as"
            " JPEG or PNG"
        )
        raise UnitError("decode", "unsupported", message)
    # A fourth channel is the picture's transparency only if the layers say so; else it is a saved
    # selection.
    transparent = image._layers_position is not None and data[image._layers_position] & 0x80
    return image.convert("RGB") if image.mode == "RGBA" and not transparent else image


def _shallow(image: Any, alpha: str) -> Image.Image:
    if alpha == "white" and image.has_transparency_data:
        with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(with_alpha, mask=with_alpha)
        return white
    if image.mode == "RGB":
        return image
    try:
        return image.convert("RGB")
    except ValueError:
        message = f"{image.format} in colour mode {image.mode}; convert the file to RGB"
        raise UnitError("decode", "unsupported", message) from None
