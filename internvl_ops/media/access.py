"""Decides which URIs a job may read."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from yarl import URL

from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.media.addresses import may_be_public, private_names
from internvl_ops.media.uris import (
    bucket_of,
    covers,
    has_dots,
    host_of,
    is_under,
    normal_scheme,
    prefix_for,
    shortest,
)
from internvl_ops.stores.base import Settings
from internvl_ops.stores.redaction import safe_uri, without_keys
from internvl_ops.stores.schemes import (
    LOCAL,
    SCHEME,
    SCHEMES,
    Scheme,
    canonical,
    has_buckets,
    scheme_named,
    split_uri,
    trimmed,
)

# Headers that only say who asks and for what; they hold no secret.
OPEN_HEADERS = frozenset({"user-agent", "from", "accept", "accept-language", "referer"})
_SENT = "".join(map(chr, range(0x21, 0x7F)))  # characters that a URL may contain unquoted
_BASE64 = re.compile(r"(?:/9j/|iVBOR|R0lGOD|UklGR|JVBER)[A-Za-z0-9+/_\s-]{40,}={0,2}\s*", re.ASCII)


@dataclass(frozen=True)
class ReadPolicy:
    """Decides which URIs may be read; it reads nothing itself.

    These are readable by default: objects in the manifest's own bucket, local files whose real path
    is under ``base`` (symlinks and ``..`` cannot lead out; under ``/`` no file is readable, because
    that would be every file), public http(s) addresses, and ``data:`` URIs, which carry their
    bytes. Everything else must be under a prefix in ``allow``.

    A host *name* is judged here only if it is an address itself (``localhost``, ``127.1``). The
    addresses that it resolves to are judged when the connection is made: see
    :class:`internvl_ops.media.fetch.Fetcher`.

    Args:
        base: The manifest's folder, or the input directory: a local path, ``s3://bucket/prefix``, a
            prefix in another store, or ``http(s)://host/folder``. Relative URIs are relative to it.
            Empty if there is none (a table in memory).
        allow: Prefixes that may be read besides. A prefix ends at a boundary: ``/data`` covers
            ``/data/a.jpg`` but not ``/database/a.jpg``. ``s3://``, ``http://`` and every other
            scheme alone cover their whole scheme.
        headers: Names and values of headers for http(s) requests; `headers_for` decides which hosts
            get them. Never shown.
        s3_anonymous: Read S3 stores without credentials, as public buckets allow.
        s3_requester_pays: Pay for requests to S3.

    Raises:
        ConfigurationError: ``base`` or a prefix has a scheme that cannot be read, or a prefix is
            empty.
    """

    base: str
    allow: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    s3_anonymous: bool = False
    s3_requester_pays: bool = False

    def __post_init__(self) -> None:
        # Made absolute where the job starts, since workers have another current directory.
        object.__setattr__(self, "base", _absolute(self.base, keyword("base")) if self.base else "")
        object.__setattr__(
            self, "allow", tuple(_absolute(prefix, keyword("allow")) for prefix in self.allow)
        )
        secret = [name for name, _ in self.headers if name.lower() not in OPEN_HEADERS]
        if secret and not any(normal_scheme(prefix) in ("http", "https") for prefix in self.allow):
            raise ConfigurationError(
                f"{keyword('headers', secret[0])}=…: it may be a secret, so it goes to addresses"
                f" under {keyword('allow')} alone, and none is given. Add"
                f" {keyword('allow', 'https://HOST/')} for the host that it is meant for"
            )

    @property
    def store_settings(self) -> Settings:
        """How stores are read."""
        return Settings(s3_anonymous=self.s3_anonymous, s3_requester_pays=self.s3_requester_pays)

    def check(self, uri: str) -> str:
        """The URI in the form to open: absolute, with symlinks and ``..`` resolved.

        Returns:
            A real local path without ``file://``, the URI of an object in a store, an http(s) URL,
            or the ``data:`` URI itself.

        Raises:
            UnitError: ``refused`` if the policy forbids it, ``unsupported`` for an unknown scheme,
                ``bad_row`` if it is not a URI at all.
        """
        normal = self._resolve(uri)
        scheme = normal_scheme(normal)
        if scheme == "data" or self.trusts(normal):
            return normal
        if scheme == "file":
            own = self._owns_files() and is_under(normal, os.path.realpath(self.base))
        elif has_buckets(scheme):
            own = normal_scheme(self.base) == scheme and bucket_of(self.base) == bucket_of(normal)
        else:
            own = may_be_public(host_of(URL(normal)))
        if not own:
            raise self.refusal(uri, normal)
        return normal

    def _owns_files(self) -> bool:
        """Whether local files under the base may be read. Files under ``/`` may not: it holds all
        secrets."""
        return (
            bool(self.base)
            and normal_scheme(self.base) == "file"
            and os.path.realpath(self.base) != "/"
        )

    def is_local(self, uri: str) -> bool:
        """Whether a URI names a local file, judged by its text alone; `check` would access the file
        system."""
        uri = trimmed(uri)
        if SCHEME.match(uri) or uri[:5].lower() == "data:":
            return uri[:7].lower() == "file://"
        return uri.startswith("/") or normal_scheme(self.base) == "file"

    def trusts(self, normal: str) -> bool:
        """Whether a URI, in the form that ``check`` returns, is under a prefix of ``allow``."""
        return any(covers(prefix, normal) for prefix in self.allow)

    def headers_for(self, url: str, asked: str) -> dict[str, str]:
        """The headers of a request.

        Headers that only identify the client go to every host. Any other may be a secret, so it
        goes only to addresses under ``allow``, and after a redirect only to the host that the
        manifest names.

        Args:
            url: The address of the request.
            asked: The URL in the manifest; differs from ``url`` after a redirect.
        """
        secret = (
            self.trusts(url)
            and URL(url, encoded=True).origin() == URL(asked, encoded=True).origin()
        )
        return {
            name: value for name, value in self.headers if secret or name.lower() in OPEN_HEADERS
        }

    def refusal(self, uri: str, normal: str, because: str = "") -> UnitError:
        """The error for a URI that may not be read; it names the prefix that would allow it."""
        if uri.startswith("//") and not because:
            because = f": it is a path. If it is an address, write https:{safe_uri(uri)}"
        return UnitError(
            "fetch",
            "refused",
            f"{safe_uri(uri)} may not be read{because}. Readable: {self.readable()}. If you trust"
            f" it, add {keyword('allow', shlex.quote(prefix_for(normal)))}",
        )

    def readable(self) -> str:
        """Describes what may be read, for messages."""
        parts = []
        if self._owns_files():
            parts.append(f"files under {self.base}")
        elif self.base and normal_scheme(self.base) == "file":
            parts.append("no local files, because the manifest lies in the root folder")
        elif self.base and has_buckets(normal_scheme(self.base)):
            parts.append(f"objects in {normal_scheme(self.base)}://{bucket_of(self.base)}")
        parts.append("public http(s) addresses")
        parts.extend(safe_uri(prefix) for prefix in self.allow)
        return ", ".join(parts)

    def explain(
        self, uris: Iterable[str], *, tolerated: float = 0.0, resolve: bool = True
    ) -> str | None:
        """One message with every prefix in ``allow`` that a sample of URIs needs, or None if enough
        may be read.

        Args:
            uris: A sample of the manifest's URIs.
            tolerated: Fraction of the sample that may be refused without a message. A stray URI is
                an error of its own row; a forgotten prefix affects many.
            resolve: Also ask DNS, for at most about a second, whether host names lead to private
                addresses.
        """
        refused: list[tuple[str, str]] = []
        names: dict[str, tuple[str, str]] = {}
        count = encoded = 0
        for count, uri in enumerate(uris, start=1):  # noqa: B007
            if isinstance(uri, str) and _BASE64.fullmatch(uri):
                encoded += 1
                continue
            try:
                normal = self._resolve(uri)
            except UnitError:
                continue  # an error of this row alone; no option would fix it
            try:
                self.check(uri)
            except UnitError:
                refused.append((uri, normal))
                continue
            if normal_scheme(normal) in ("http", "https") and not self.trusts(normal):
                names.setdefault(URL(normal).host or "", (uri, normal))
        if encoded > tolerated * count:
            return (
                f"{encoded} of {count} sampled media values look like base64 text, not like paths"
                " or URIs. Write them as data:image/jpeg;base64,…, with the type that they have,"
                " or put the bytes into a Parquet column"
            )
        if resolve:
            refused.extend(names[host] for host in private_names(list(names)))
        if len(refused) <= tolerated * count:
            return None
        needed = shortest([prefix_for(normal) for _, normal in refused])
        options = " ".join(keyword("allow", shlex.quote(prefix)) for prefix in needed)
        return (
            f"{len(refused)} of {count} sampled URIs may not be read, for example"
            f" {safe_uri(refused[0][0])}. Readable: {self.readable()}. If you trust the rest, add"
            f" {options}"
        )

    def _resolve(self, uri: str) -> str:
        if not isinstance(uri, str) or not uri.strip() or "\x00" in uri:
            raise UnitError("fetch", "bad_row", f"{safe_uri(str(uri))!r} is no path or URI")
        uri = trimmed(uri)
        if uri[:5].lower() == "data:":
            return uri
        if SCHEME.match(uri) or uri.startswith("/"):
            return _normalise(uri)
        if not self.base:
            raise UnitError(
                "fetch", "bad_row", f"{safe_uri(uri)} is relative, but to no known folder"
            )
        if normal_scheme(self.base) in ("http", "https"):
            return _normalise(str(URL(self.base.rstrip("/") + "/").join(URL(uri))))
        return _normalise(f"{self.base.rstrip('/')}/{uri}")


def _absolute(location: str, name: str) -> str:
    if not location:
        raise ConfigurationError(
            f"{name} is empty. Give a folder, s3://bucket/prefix or https://host/path"
        )
    location = trimmed(location)
    match = SCHEME.match(location)
    if not match:
        return os.path.abspath(location)
    scheme = scheme_named(match[1])
    if match[0] == location and scheme is not None and scheme is not LOCAL:
        return scheme.example
    try:
        return _normalise(location)
    except UnitError as error:
        raise ConfigurationError(f"{name} {error.message}") from None


def _normalise(uri: str) -> str:
    match = SCHEME.match(uri)
    if not match:
        return os.path.realpath(uri)
    scheme = scheme_named(match[1])
    if scheme is None:
        raise UnitError(
            "fetch",
            "unsupported",
            f"{safe_uri(uri)} has scheme {match[1].lower()}://. Readable schemes: local paths, "
            f"{', '.join(SCHEMES)}, data",
        )
    if scheme is LOCAL:
        rest = uri[match.end() :]
        host, _, path = rest.partition("/")
        if host not in ("", "localhost"):
            raise UnitError(
                "fetch", "unsupported", f"{safe_uri(uri)} names a host. Write file:///path"
            )
        return os.path.realpath("/" + unquote(path))
    return _normalise_key(uri, scheme) if scheme.lists else _normalise_url(uri)


def _normalise_key(uri: str, scheme: Scheme) -> str:
    plain = without_keys(canonical(uri))
    bucket, key = split_uri(plain)
    if not bucket or bucket.count("/") + 1 < scheme.levels:
        what, name = "bucket", "bucket"
        if scheme.levels > 1:
            what, name = "repository", "datasets/owner/name"
        example = f"{scheme.example}{name}/key"
        raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} names no {what}. Write {example}")
    slash = "/" if len(plain) > len(f"{scheme.example}{bucket}") else ""
    if any(part in (".", "..") for part in key.split("/")):
        folder = key.endswith("/")
        key = posixpath.normpath(key)
        if key == ".." or key.startswith("../"):
            raise UnitError("fetch", "refused", f"{safe_uri(uri)} leads out of the bucket {bucket}")
        key = "" if key == "." else key + ("/" if folder else "")
    return f"{scheme.example}{bucket}{slash}{key}"


def _normalise_url(uri: str) -> str:
    """The URL as written, since a signature may cover it: only characters that cannot be sent are
    quoted.

    A path with ``..`` is the exception: it is resolved, so that prefixes apply to the real path.
    """
    try:
        quoted = URL(uri).with_fragment(None)  # also raises for text that is not a URL
        url = (
            quoted
            if has_dots(urlsplit(uri).path)
            else URL(_quoted(uri.partition("#")[0]), encoded=True)
        )
        url.origin()
    except ValueError as error:
        raise UnitError(
            "fetch", "bad_row", f"{safe_uri(uri)} is no URL: {str(error).split(':')[0]}"
        ) from None
    if not url.raw_host:
        raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} names no host")
    return str(url)


def _quoted(uri: str) -> str:
    if uri.isascii() and uri.isprintable() and " " not in uri:
        return uri
    head = SCHEME.match(uri)
    assert head is not None
    end = min(
        (place for mark in "/?" if (place := uri.find(mark, head.end())) >= 0), default=len(uri)
    )
    authority = uri[:end]
    if not authority.isascii():
        authority = f"{head[0]}{URL(authority).raw_authority}"
    return authority + quote(uri[end:], safe=_SENT)
