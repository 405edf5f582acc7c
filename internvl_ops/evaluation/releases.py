"""The releases of the family, each with the settings that its figures were measured with."""

from __future__ import annotations

import re
from typing import Literal, get_args

Release = Literal["V1.5", "Mini-V1.5", "InternVL2", "InternVL2.5", "InternVL3", "InternVL3.5"]
RELEASES: tuple[Release, ...] = get_args(Release)
DEFAULT: Release = "InternVL2"
_POINT_5 = r"(?:[_.]5|-5(?![^-_/]))"
_NAMES: tuple[tuple[str, Release], ...] = (
    (r"mini-internvl-chat", "Mini-V1.5"),
    (r"internvl-chat-v1[-_.]5", "V1.5"),
    (rf"internvl3{_POINT_5}", "InternVL3.5"),
    (r"internvl3(?!\d)", "InternVL3"),
    (rf"internvl2{_POINT_5}", "InternVL2.5"),
    (r"internvl2(?!\d)", "InternVL2"),
)


def release_of(model: str) -> Release:
    """The release that a checkpoint's name or path names; InternVL2, whose scripts most later ones use, if none."""
    name = model.lower()
    for folder in reversed(name.split("/")):  # the hub's cache ends in a revision
        for pattern, release in _NAMES:
            if re.search(pattern, folder):
                return release
    return DEFAULT


def since(first: Release) -> tuple[Release, ...]:
    """That release and those after it."""
    return RELEASES[RELEASES.index(first) :]
