"""Decodes media that a manifest holds as base64 text, as benchmarks and servers write them."""

from __future__ import annotations

import base64
import binascii
import re

import pyarrow as pa
import pyarrow.compute as pc

# First characters of JPEG, PNG, GIF, RIFF (WebP, AVI), TIFF, MP4 and related, PDF, Matroska and BMP
# in base64.
_BEGINS = r"(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkq|TU0A|AAAA|JVBERi0|GkXfo|Qk[0-9A-Za-z])"
_LOOKS_SO = (
    rf"^\s*(?:(?:image|video|application)/[\w.+-]+;base64,)?{_BEGINS}[A-Za-z0-9+/_\s-]{{64,}}=*\s*$"
)
_STRIPPED = re.compile(r"^(?:image|video|application)/[\w.+-]+;base64,")


def decoded(uris: pa.Array, contents: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Decodes base64 texts among the URIs. Returns the URIs, the contents, and which values were
    decoded."""
    found = pc.and_(
        pc.fill_null(pc.match_substring_regex(uris, _LOOKS_SO), False), pc.is_null(contents)
    )
    if not pc.any(found).as_py():
        return uris, contents, found
    data = [
        _bytes(uri) if mine else None
        for uri, mine in zip(uris.to_pylist(), found.to_pylist(), strict=True)
    ]
    values = pa.array(data, contents.type)
    found = pc.is_valid(values)
    return (
        pc.if_else(found, pa.scalar(None, uris.type), uris),
        pc.if_else(found, values, contents),
        found,
    )


def _bytes(text: str) -> bytes | None:
    text = "".join(_STRIPPED.sub("", text.strip(), count=1).split()).rstrip("=")
    try:
        return base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else None
        )
    except (ValueError, binascii.Error):
        return None
