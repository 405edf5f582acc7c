"""Interprets the numbers of a picture and converts them to 8-bit RGB; nothing is scaled before its
range is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Colours = Literal["grey", "rgb", "cmyk", "lab", "palette"]
Alpha = Literal["none", "straight", "premultiplied"]

CHANNELS: dict[Colours, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3, "palette": 1}
# Depths whose samples are often stored in deeper files. Each is at most a sixteenth of the next
# container, so a picture of that depth would be nearly black at its file's depth. 13 to 15 bits in
# 16 could as well be a dark photograph.
_DEPTHS = (8, 10, 12, 16, 24, 32)
# Usual values for "nothing was measured here", for files that name none.
_USUAL_NODATA = (-999.0, -9999.0, -32767.0, -32768.0, -99999.0)
_ENORMOUS = 9e19
# converted at a time, so that intermediate arrays are small compared with the picture
_STRIP_PIXELS = 4 << 20
_SAMPLED = 1 << 20  # number of values from which a percentile is computed
# XYZ of D50, as used by Lab in files, to linear sRGB, including the adaptation to D65 by Bradford.
_D50 = np.array([0.96422, 1.0, 0.82521], np.float32)
_XYZ_TO_RGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ],
    np.float32,
)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The meaning of a picture's samples, as its headers state it.

    Args:
        colours: What the first channels are. "lab" has lightness, then a and b.
        bits: Bits of a sample, as the file states.
        alpha: What the channel after the colours is.
        white_is_zero: Grey runs from light to dark.
        maximum: The sample value of full light, if the format states it. Otherwise integers are
            scaled by ``used_bits``, or by 8, 10 or 12 bits if no value is above that, or else by
            all their bits.
        used_bits: How many of the bits are used; None if the file does not state it.
        nodata: The sample value that means "no data".
        palette: uint8 colours of shape (entries, 3), for "palette".
        signed_lab: a and b are signed; else they are shifted by half their range.
    """

    colours: Colours
    bits: int
    alpha: Alpha = "none"
    white_is_zero: bool = False
    maximum: int | None = None
    used_bits: int | None = None
    nodata: float | None = None
    palette: np.ndarray | None = None
    signed_lab: bool = False


@dataclass(frozen=True)
class _Scale:
    """The sample values that become black and white."""

    low: float
    high: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Returns float32 from 0 to 255."""
        wide = np.float64 if values.dtype.itemsize > 2 else np.float32
        numbers: np.ndarray = values.astype(wide)
        scaled = (numbers - self.low) * (255.0 / (self.high - self.low))
        return np.clip(scaled, 0.0, 255.0).astype(np.float32)


def to_rgb(pixels: np.ndarray, samples: Samples, alpha: str, notes: list[str]) -> np.ndarray:
    """Converts a picture to 8-bit RGB.

    Args:
        pixels: Of shape (height, width) or (height, width, channels); channels that ``samples``
            does not describe are left out.
        samples: Their meaning.
        alpha: "white" composites on white, "drop" ignores transparency.
        notes: Notes about decisions are appended.

    Returns:
        uint8 of shape (height, width, 3).
    """
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = pixels[..., : CHANNELS[samples.colours]]
    opacity = pixels[..., colours.shape[2]] if samples.alpha != "none" else None
    scale, nodata = _scale(colours, samples, notes)
    alpha_scale = _alpha_scale(opacity, samples, scale) if opacity is not None else None
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // max(1, pixels.shape[1]))
    for top in range(0, pixels.shape[0], rows):
        strip = slice(top, top + rows)
        light = _light(colours[strip], samples, scale)
        if opacity is not None and alpha_scale is not None:
            light = _composite(light, alpha_scale.apply(opacity[strip]), samples.alpha, alpha)
        if nodata is not None:
            light[_is_nodata(colours[strip], nodata)] = 255.0 if alpha == "white" else 0.0
        rgb[strip] = light + 0.5
    return rgb


def _light(colours: np.ndarray, samples: Samples, scale: _Scale) -> np.ndarray:
    """Returns float32 RGB from 0 to 255, of shape (rows, width, 3)."""
    if samples.colours == "palette":
        assert samples.palette is not None
        index = np.minimum(colours[..., 0], len(samples.palette) - 1)
        return samples.palette[index].astype(np.float32)
    if samples.colours == "lab":
        return _lab(colours, samples)
    if colours.dtype.kind == "f":
        colours = np.nan_to_num(colours, nan=scale.low, posinf=scale.high, neginf=scale.low)
    light = scale.apply(colours)
    if samples.white_is_zero:
        light = 255.0 - light
    if samples.colours == "cmyk":
        return (255.0 - light[..., :3]) * (255.0 - light[..., 3:]) / 255.0
    return np.repeat(light, 3, axis=2) if samples.colours == "grey" else light


def _lab(colours: np.ndarray, samples: Samples) -> np.ndarray:
    if colours.dtype.kind == "f":
        lightness, a, b = np.moveaxis(colours.astype(np.float32), 2, 0)
    else:
        unit = float(1 << (samples.bits - 8))  # one step of 8 bits
        full = 255.0 * unit if not samples.signed_lab else float((1 << samples.bits) - 1)
        # Some writers call all three signed, though lightness has no sign.
        unsigned = colours[..., 0].astype(f"u{colours.dtype.itemsize}")
        lightness = unsigned.astype(np.float32) * (100.0 / full)
        a, b = np.moveaxis(colours[..., 1:].astype(np.float32), 2, 0) / unit
        if samples.signed_lab:
            a, b = a - 256.0 * (a >= 128.0), b - 256.0 * (b >= 128.0)
        else:
            a, b = a - 128.0, b - 128.0
    y = (lightness + 16.0) / 116.0
    f = np.stack([y + a / 500.0, y, y - b / 200.0], axis=2)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * (3 * (6 / 29) ** 2)) * _D50
    linear = np.clip(xyz @ _XYZ_TO_RGB.T, 0.0, 1.0).astype(np.float32)
    return 255.0 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )


def _composite(light: np.ndarray, opacity: np.ndarray, kind: Alpha, wanted: str) -> np.ndarray:
    opacity = opacity[..., None] / 255.0
    if wanted == "drop":
        return (
            light
            if kind == "straight"
            else np.minimum(light / np.maximum(opacity, 1 / 65535), 255.0)
        )
    shown = light * opacity if kind == "straight" else light
    return np.minimum(shown + 255.0 * (1.0 - opacity), 255.0)


# ---------------------------------------------------------------- ranges


def _scale(colours: np.ndarray, samples: Samples, notes: list[str]) -> tuple[_Scale, float | None]:
    """The values for black and white, and the value for "no data"."""
    if samples.colours in ("palette", "lab"):
        return _Scale(0.0, 255.0), None
    if samples.maximum is not None:
        return _Scale(0.0, float(samples.maximum)), samples.nodata
    kind = colours.dtype.kind
    if kind == "f" or (kind == "i" and colours.size and colours.min() < 0):
        return _own_range(colours, samples, notes)
    values = _without(colours, samples.nodata) if samples.nodata is not None else colours
    return _Scale(0.0, float((1 << _depth(values, samples, notes)) - 1)), samples.nodata


def _depth(values: np.ndarray, samples: Samples, notes: list[str]) -> int:
    """The real number of bits of integers without negative values: as stated by the file, or
    evident from the values.

    A microscope's 12 bits in 16 are evident: at 16 bits, the brightest value would be 15 of 255. A
    dark photograph of 16 bits stays dark.
    """
    # no value is negative, so the sign bit carries no information
    bits = samples.bits - (values.dtype.kind == "i")
    highest = int(values.max()) if values.size else 0
    if bits <= 8 or highest == 0:
        return bits
    stated = samples.used_bits
    if stated is not None and highest < 1 << stated:  # else the file contradicts itself
        if stated < bits:
            notes.append(
                f"{samples.bits}-bit samples of which {stated} bits are used, as the file says"
            )
        return min(stated, bits)
    shown = next((depth for depth in _DEPTHS if highest < 1 << depth), bits)
    if shown >= bits:
        return bits
    # A dark 8-bit picture that was converted to more bits: its bytes were spread over the whole
    # range.
    if bits % 8 == 0 and not (values % (((1 << bits) - 1) // 255)).any():
        return bits
    notes.append(f"{samples.bits}-bit samples that reach {highest:,} only, read as {shown}-bit")
    return shown


def _own_range(
    colours: np.ndarray, samples: Samples, notes: list[str]
) -> tuple[_Scale, float | None]:
    """Black and white for samples without a standard range: 0 and 1 if all values lie between them,
    else the range of most values."""
    values = colours[np.isfinite(colours)] if colours.dtype.kind == "f" else colours.ravel()
    nodata = samples.nodata if samples.nodata is not None else _guessed_nodata(values)
    if nodata is not None:
        values = _without(values, nodata)
    has_nan = colours.dtype.kind == "f" and bool(np.isnan(colours).any())
    painted = np.nan if has_nan and nodata is None else nodata
    if not values.size:
        return _Scale(0.0, 1.0), painted
    low, high = float(values.min()), float(values.max())
    if colours.dtype.kind == "f" and low >= 0.0 and high <= 1.0:
        return _Scale(0.0, 1.0), painted
    if low == high:
        return _Scale(0.0, max(255.0, high)), painted
    low, high = _without_outliers(values, low, high)
    blank = " without what is not there" if painted is not None else ""
    notes.append(f"{samples.bits}-bit samples scaled from {low:g}..{high:g}{blank}")
    return _Scale(low, high), painted


def _without_outliers(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Narrows the range where outliers, up to half a percent at either end, would leave one shade
    for the rest."""
    some = values[:: max(1, values.size // _SAMPLED)]
    usual_low, usual_high = (
        float(value) for value in np.percentile(some.astype(np.float64), (0.5, 99.5))
    )
    reach = 2.0 * (usual_high - usual_low)
    if reach <= 0.0:
        return low, high
    low = usual_low if low < usual_low - reach else low
    high = usual_high if high > usual_high + reach else high
    return low, high


def _guessed_nodata(values: np.ndarray) -> float | None:
    """A usual "no data" value, or an enormous one, at either end, further from the rest than the
    rest is wide."""
    if values.size < 2:
        return None
    for extreme in (float(values.min()), float(values.max())):
        if abs(extreme) < _ENORMOUS and extreme not in _USUAL_NODATA:
            continue
        rest = values[values != values.dtype.type(extreme)]
        if not rest.size:
            continue
        low, high = float(rest.min()), float(rest.max())
        if min(abs(extreme - low), abs(extreme - high)) > high - low:
            return extreme
    return None


def _without(values: np.ndarray, nodata: float) -> np.ndarray:
    return values[~_equal(values, nodata)]


def _equal(values: np.ndarray, nodata: float) -> np.ndarray:
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            # it is text in the file, so it is often rounded differently
            near = values.dtype.type(nodata)
        close = values == near
        if np.isfinite(near) and abs(nodata) > 1e6:
            close |= np.abs(values.astype(np.float64) - nodata) <= abs(nodata) * 1e-6
        return close
    if not np.isfinite(nodata) or nodata != int(nodata):
        return np.zeros(values.shape, bool)
    information = np.iinfo(values.dtype)
    if not information.min <= nodata <= information.max:
        return np.zeros(values.shape, bool)
    return values == values.dtype.type(int(nodata))


def _is_nodata(colours: np.ndarray, nodata: float) -> np.ndarray:
    """True, of shape (rows, width), where every channel is nodata or not a number."""
    nothing = _equal(colours, nodata)
    if colours.dtype.kind == "f":
        nothing |= np.isnan(colours)
    return np.asarray(nothing.all(axis=2))


def _alpha_scale(opacity: np.ndarray, samples: Samples, colours: _Scale) -> _Scale:
    if opacity.dtype.kind == "f":
        highest = float(np.nanmax(opacity, initial=0.0))
        return _Scale(0.0, 1.0 if highest <= 1.0 or not np.isfinite(highest) else highest)
    signed = opacity.dtype.kind == "i"
    full = float(samples.maximum or (1 << samples.bits - signed) - 1)
    if (
        samples.colours not in ("palette", "lab")
        and colours.low == 0.0
        and opacity.max(initial=0) <= colours.high
    ):
        full = min(full, colours.high)  # it has fewer bits, like the colours beside it
    return _Scale(0.0, full)
