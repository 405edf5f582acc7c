"""Text of URIs: what scheme, host and bucket they name, and which prefixes cover them.

A *normal* URI is in the form that `access.ReadPolicy.check` returns.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from yarl import URL

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def trimmed(uri: str) -> str:
    """Without the blanks that cells of tables have around URLs. Names of files and objects may have them."""
    bare = uri.strip()
    if bare[:7].lower() == "http://" or bare[:8].lower() == "https://":
        return bare
    bare = uri.lstrip()
    return bare if SCHEME.match(bare) or bare[:5].lower() == "data:" else uri


def scheme_of(normal: str) -> str:
    """The scheme of a normal URI; ``file`` of a path."""
    if normal.startswith("/"):
        return "file"
    return normal.partition(":")[0].lower()


def bucket_of(uri: str) -> str:
    """The bucket of a normal ``s3://`` URI."""
    return uri[len("s3://") :].partition("/")[0]


def is_under(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it: ``/data`` does not hold ``/database``."""
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def covers(prefix: str, normal: str) -> bool:
    """Whether a normal URI stands under a prefix of ``--allow``."""
    scheme = scheme_of(normal)
    if scheme_of(prefix) != scheme:
        return False
    if prefix == f"{scheme}://":
        return True
    if scheme == "file":
        return is_under(normal, os.path.realpath(prefix))
    if scheme == "s3":
        return is_under(normal, prefix)
    allowed, url = URL(prefix), URL(normal)
    if (host_of(allowed), allowed.port) != (host_of(url), url.port):
        return False
    # %2f may be a slash to the server, so a path that still climbs after decoding is under no prefix but the host's.
    if allowed.raw_path != "/" and has_dots(url.raw_path):
        return False
    return is_under(url.raw_path, allowed.raw_path)


def host_of(url: URL) -> str:
    """The host as it is compared: in lower case, without the dot that names may end with."""
    return (url.raw_host or "").lower().rstrip(".")


def has_dots(path: str) -> bool:
    """Whether a path climbs, however its dots and slashes are written."""
    return any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/"))


def prefix_for(normal: str) -> str:
    """What to write after ``--allow`` so that this URI may be read."""
    scheme = scheme_of(normal)
    if scheme == "file":
        folder = os.path.dirname(normal).rstrip("/")
        return folder + "/" if folder else normal
    if scheme == "s3":
        return f"s3://{bucket_of(normal)}/"
    return f"{URL(normal).with_user(None).origin()}/"


def shortest(prefixes: list[str]) -> list[str]:
    """Those of the prefixes that no other one covers, in order."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes), key=lambda prefix: (len(prefix), prefix)):
        if not any(prefix.startswith(shorter) for shorter in kept):
            kept.append(prefix)
    local = [prefix for prefix in kept if prefix.startswith("/")]
    if len(local) > 3 and (common := os.path.commonpath(local)) != "/":
        return [common + "/", *(prefix for prefix in kept if prefix not in local)]
    return kept
