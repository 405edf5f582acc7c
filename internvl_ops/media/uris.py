"""Interprets the text of URIs: scheme, host and bucket, and the prefixes that cover them.

A *normal* URI has the form that `access.ReadPolicy.check` returns.
"""

from __future__ import annotations

import os
from urllib.parse import unquote

from yarl import URL

from internvl_ops.stores.schemes import has_buckets, split_uri


def normal_scheme(normal: str) -> str:
    """The scheme of a normal URI; ``file`` for a path."""
    if normal.startswith("/"):
        return "file"
    return normal.partition(":")[0].lower()


def bucket_of(uri: str) -> str:
    """The bucket of a normal URI of a store; of the Hub the repository, whatever its revision."""
    bucket = split_uri(uri)[0]
    return bucket.partition("@")[0] if normal_scheme(uri) == "hf" else bucket


def is_under(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it: ``/data`` does not hold ``/database``."""
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def covers(prefix: str, normal: str) -> bool:
    """Whether a normal URI is under a prefix in ``allow``."""
    scheme = normal_scheme(normal)
    if normal_scheme(prefix) != scheme:
        return False
    if prefix == f"{scheme}://":
        return True
    if scheme == "file":
        return is_under(normal, os.path.realpath(prefix))
    if has_buckets(scheme):
        return is_under(normal, prefix)
    allowed, url = URL(prefix), URL(normal)
    if (host_of(allowed), allowed.port) != (host_of(url), url.port):
        return False
    # %2f may be a slash for the server, so a path with ".." after decoding is covered only by the
    # prefix of its host.
    if allowed.raw_path != "/" and has_dots(url.raw_path):
        return False
    return is_under(url.raw_path, allowed.raw_path)


def host_of(url: URL) -> str:
    """The host in the form used for comparison: in lower case, without a trailing dot."""
    return (url.raw_host or "").lower().rstrip(".")


def has_dots(path: str) -> bool:
    """Whether a path has ``..`` parts, in any notation of dots and slashes."""
    return any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/"))


def prefix_for(normal: str) -> str:
    """The prefix in ``allow`` that makes this URI readable."""
    scheme = normal_scheme(normal)
    if scheme == "file":
        folder = os.path.dirname(normal).rstrip("/")
        return folder + "/" if folder else normal
    if has_buckets(scheme):
        return f"{scheme}://{split_uri(normal)[0]}/"
    return f"{URL(normal).with_user(None).origin()}/"


def shortest(prefixes: list[str]) -> list[str]:
    """The prefixes that no other prefix covers, in order."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes), key=lambda prefix: (len(prefix), prefix)):
        if not any(prefix.startswith(shorter) for shorter in kept):
            kept.append(prefix)
    local = [prefix for prefix in kept if prefix.startswith("/")]
    if len(local) > 3 and (common := os.path.commonpath(local)) != "/":
        return [common + "/", *(prefix for prefix in kept if prefix not in local)]
    return kept
