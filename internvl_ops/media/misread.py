"""What a path that is not there may have been meant to be, for messages."""

from __future__ import annotations

import re

from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.schemes import scheme_named

# pathlib and posixpath make one slash of two
_ONE_SLASH = re.compile(r"(?:^|/)([A-Za-z][A-Za-z0-9+.-]*):/(?!/)([^/].*)", re.DOTALL)
_HINTS = (
    (
        re.compile(r"(?:^|/)~[\w.-]*/"),
        "~ is no folder here: write the whole path",
    ),
    (
        re.compile(r"\$\{?[A-Za-z_]\w*|%[A-Z_]{3,}%"),
        "variables are not replaced here: write the whole path",
    ),
    (
        re.compile(r"(?:^|/)[A-Za-z]:\\|\\[\w.-]+\\"),
        "a backslash is part of a name here: write / between folders",
    ),
    (
        re.compile(r"[\"'>,;]$"),
        "the sign at its end counts as part of its name: leave out what is around it",
    ),
    (
        re.compile(r"(?:^|/)www\.[\w-]+\.", re.IGNORECASE),
        "an address begins with https://",
    ),
    (
        re.compile(r"%[0-9A-Fa-f]{2}"),
        "%20 and the like stand for characters in addresses only",
    ),
)


def hint(path: str) -> str:
    """What may be wrong with a path, as a sentence that follows another; empty if nothing is known.

    Args:
        path: As it was looked for; it does not exist.
    """
    found = _ONE_SLASH.search(path)
    if found and scheme_named(found[1]) is not None:
        meant = safe_uri(f"{found[1].lower()}://{found[2]}")
        return f". An address has two slashes: {meant}"
    said = next((text for pattern, text in _HINTS if pattern.search(path)), "")
    return f". {said[0].upper()}{said[1:]}" if said else ""
