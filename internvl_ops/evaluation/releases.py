"""The releases of the family; benchmarks declare the settings of each release's figures by them."""

from __future__ import annotations

import re
from typing import Literal, get_args

Release = Literal["V1.5", "Mini-V1.5", "InternVL2", "InternVL2.5", "InternVL3", "InternVL3.5"]
RELEASES: tuple[Release, ...] = get_args(Release)
DEFAULT_RELEASE: Release = "InternVL2"
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
    """The release in a checkpoint's name or path; if there is none, InternVL2, whose scripts most
    later ones use."""
    name = model.lower()
    for folder in reversed(name.split("/")):  # a path in the hub's cache ends in a revision
        for pattern, release in _NAMES:
            if re.search(pattern, folder):
                return release
    return DEFAULT_RELEASE


def since(first: Release) -> tuple[Release, ...]:
    """This release and all later ones."""
    return RELEASES[RELEASES.index(first) :]
