"""Recognises TGA files. They have no signature, so all values in their header are checked."""

from __future__ import annotations

import struct

_FOOTER = b"TRUEVISION-XFILE.\0"
# Kind of uncompressed image -> its possible depths.
_DEPTHS = {1: (8,), 2: (16, 24, 32), 3: (1, 8, 16)}


def is_targa(data: bytes) -> bool:
    """Whether these bytes are a TGA image, complete or truncated."""
    if len(data) < 18:
        return False
    id_bytes, mapped, kind, _, entries, entry_bits = struct.unpack_from("<BBBHHB", data)
    width, height, depth, flags = struct.unpack_from("<HHBB", data, 12)
    plain = kind & ~8
    if (
        plain not in _DEPTHS
        or depth not in _DEPTHS[plain]
        or mapped > 1
        or not width
        or not height
        or flags & 0xC0
    ):
        return False
    if mapped != (plain == 1) or (
        mapped and (entry_bits not in (15, 16, 24, 32) or not 0 < entries <= 256)
    ):
        return False
    if not mapped and (entries or entry_bits):
        return False
    if data.endswith(_FOOTER):
        return True
    pixels = height * ((width * depth + 7) // 8)
    start = 18 + id_bytes + entries * ((entry_bits + 7) // 8)
    if kind & 8:  # run-length encoded: at least one run per 128 pixels
        return len(data) >= start + width * height // 128
    return start + pixels <= len(data) <= start + pixels + (64 << 10)
