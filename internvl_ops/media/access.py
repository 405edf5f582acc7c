"""Which URIs a job may read."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from yarl import URL

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media.addresses import is_public, literal_address

SCHEMES = ("file", "s3", "http", "https", "data")
# They say who asks and for what, and are no secret.
OPEN_HEADERS = frozenset({"user-agent", "from", "accept", "accept-language", "referer"})
_ALIASES = {"s3a": "s3", "s3n": "s3"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_URI = re.compile(_SCHEME.pattern + r"(?:[^\s/@]*@)?[^\s'\"<>|\\]+")
_SIGNED = re.compile(
    r"([?&](?:X-(?:Amz|Goog|Oss)-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId|GoogleAccessId"
    r"|OSSAccessKeyId|Key-Pair-Id|Policy|sig|token|access_token|api_?key|key|auth|password|secret)=)[^&#]*",
    re.IGNORECASE,
)
_SENT = "".join(map(chr, range(0x21, 0x7F)))  # what a URL may be sent with as it stands
_BASE64 = re.compile(r"(?:/9j/|iVBOR|R0lGOD|UklGR|JVBER)[A-Za-z0-9+/_\s-]{40,}={0,2}\s*", re.ASCII)
_SHOWN = 300  # characters of a URI that a message repeats


@dataclass(frozen=True)
class ReadPolicy:
    """Decides which URIs may be read; knows nothing about reading them.

    Readable without asking: objects in the manifest's own bucket, local files that really lie under ``base``
    (symlinks and ``..`` do not lead out; under ``/`` none, because that would be every file), public http(s)
    addresses, and ``data:`` URIs, which carry their bytes. Everything else must stand under a prefix in
    ``allow``.

    A host *name* is judged here only where it says what it is (``localhost``, ``127.1``). The addresses it resolves to
    are judged where the connection is made: see :class:`internvl_ops.media.fetch.Fetcher`.

    Args:
        base: Folder the manifest lies in, or the input directory: a local path, ``s3://bucket/prefix`` or
            ``http(s)://host/folder``. Relative URIs are relative to it. Empty: there is none (a table in memory).
        allow: Prefixes given by ``--allow``. A prefix ends at a boundary: ``/data`` covers ``/data/a.jpg`` and not
            ``/database/a.jpg``. ``s3://``, ``http://`` and ``https://`` alone cover their whole scheme.
        headers: Names and values that http(s) requests carry; `headers_for` says to whom. Never shown.

    Raises:
        ConfigurationError: ``base`` or a prefix has a scheme that cannot be read, or a prefix is empty.
    """

    base: str
    allow: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        # Made absolute where the job was started, since a worker's current directory is another.
        object.__setattr__(self, "base", _absolute(self.base, "--input") if self.base else "")
        object.__setattr__(self, "allow", tuple(_absolute(prefix, "--allow") for prefix in self.allow))
        secret = [name for name, _ in self.headers if name.lower() not in OPEN_HEADERS]
        if secret and not any(_scheme(prefix) in ("http", "https") for prefix in self.allow):
            raise ConfigurationError(
                f"--http-header {secret[0]}=…: it may be a secret, so it goes to addresses under --allow alone, and "
                "none is given. Add --allow https://HOST/ for the host that it is meant for"
            )

    def check(self, uri: str) -> str:
        """The URI in the form to open: absolute, symlinks and ``..`` resolved.

        Returns:
            A real local path without ``file://``, an ``s3://`` URI, an http(s) URL, or the ``data:`` URI itself.

        Raises:
            UnitError: ``refused`` if the policy forbids it, ``unsupported`` for an unknown scheme, ``bad_row`` if it
                is no URI at all.
        """
        normal = self._resolve(uri)
        scheme = _scheme(normal)
        if scheme == "data" or self.trusts(normal):
            return normal
        if scheme == "file":
            own = self._owns_files() and _under(normal, os.path.realpath(self.base))
        elif scheme == "s3":
            own = _scheme(self.base) == "s3" and _bucket(self.base) == _bucket(normal)
        else:
            own = _may_be_public(_host(URL(normal)))
        if not own:
            raise self.refusal(uri, normal)
        return normal

    def _owns_files(self) -> bool:
        """Whether local files under the base may be read. Under the root folder lies everything, secrets too."""
        return bool(self.base) and _scheme(self.base) == "file" and os.path.realpath(self.base) != "/"

    def is_local(self, uri: str) -> bool:
        """Whether a URI names a local file, judged by its text alone: checking that one asks the file system."""
        uri = _trimmed(uri)
        if _SCHEME.match(uri) or uri[:5].lower() == "data:":
            return uri[:7].lower() == "file://"
        return uri.startswith("/") or _scheme(self.base) == "file"

    def trusts(self, normal: str) -> bool:
        """Whether a URI, in the form ``check`` returns, stands under a prefix of ``--allow``."""
        return any(_covers(prefix, normal) for prefix in self.allow)

    def headers_for(self, url: str, asked: str) -> dict[str, str]:
        """The headers of a request.

        Those that only say who asks go to every host. Any other may be a secret, so it goes to addresses under
        ``allow`` alone, and after a redirect only to the host that the manifest names.

        Args:
            url: Where the request goes.
            asked: What the manifest names; another URL after a redirect.
        """
        secret = self.trusts(url) and URL(url, encoded=True).origin() == URL(asked, encoded=True).origin()
        return {name: value for name, value in self.headers if secret or name.lower() in OPEN_HEADERS}

    def refusal(self, uri: str, normal: str, because: str = "") -> UnitError:
        """The error for a URI that may not be read, naming the option that would allow it."""
        return UnitError(
            "fetch",
            "refused",
            f"{safe_uri(uri)} may not be read{because}. Readable: {self.readable()}. If you trust it, add "
            f"--allow {shlex.quote(_prefix_for(normal))}",
        )

    def readable(self) -> str:
        """What may be read, in words, for messages."""
        parts = []
        if self._owns_files():
            parts.append(f"files under {self.base}")
        elif self.base and _scheme(self.base) == "file":
            parts.append("no local files, because the manifest lies in the root folder")
        elif self.base and _scheme(self.base) == "s3":
            parts.append(f"objects in s3://{_bucket(self.base)}")
        parts.append("public http(s) addresses")
        parts.extend(safe_uri(prefix) for prefix in self.allow)
        return ", ".join(parts)

    def explain(self, uris: Iterable[str], *, tolerated: float = 0.0, resolve: bool = True) -> str | None:
        """One message naming every ``--allow`` option that a sample of URIs lacks, or None if enough may be read.

        Args:
            uris: A sample of the manifest's URIs.
            tolerated: Fraction of the sample that may be refused without a message: a stray URI is its own row's
                error, a forgotten prefix concerns many.
            resolve: Also ask DNS, for at most about a second, whether host names lead to private addresses.
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
                continue  # a bad row is one row's error, which no option mends
            try:
                self.check(uri)
            except UnitError:
                refused.append((uri, normal))
                continue
            if _scheme(normal) in ("http", "https") and not self.trusts(normal):
                names.setdefault(URL(normal).host or "", (uri, normal))
        if encoded > tolerated * count:
            return (
                f"{encoded} of {count} sampled media values look like base64 text, not like paths or URIs. Write them "
                "as data:image/jpeg;base64,…, with the type that they have, or put the bytes into a Parquet column"
            )
        if resolve:
            refused.extend(names[host] for host in _private_names(list(names)))
        if len(refused) <= tolerated * count:
            return None
        options = " ".join(
            f"--allow {shlex.quote(prefix)}" for prefix in _shortest([_prefix_for(n) for _, n in refused])
        )
        return (
            f"{len(refused)} of {count} sampled URIs may not be read, for example {safe_uri(refused[0][0])}. "
            f"Readable: {self.readable()}. If you trust the rest, add {options}"
        )

    def _resolve(self, uri: str) -> str:
        if not isinstance(uri, str) or not uri.strip() or "\x00" in uri:
            raise UnitError("fetch", "bad_row", f"{safe_uri(str(uri))!r} is no path or URI")
        uri = _trimmed(uri)
        if uri[:5].lower() == "data:":
            return uri
        if _SCHEME.match(uri) or uri.startswith("/"):
            return _normalise(uri)
        if not self.base:
            raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} is relative, but to no known folder")
        if _scheme(self.base) in ("http", "https"):
            return _normalise(str(URL(self.base.rstrip("/") + "/").join(URL(uri))))
        return _normalise(f"{self.base.rstrip('/')}/{uri}")


def safe_uri(uri: str) -> str:
    """A URI fit for a log: no user or password, no query (signatures live there), no data, at most 300 characters."""
    uri = _trimmed(uri)
    if uri[:5].lower() == "data:":
        return f"{uri[:40].split(',')[0]},… ({len(uri):,} characters)"
    match = _SCHEME.match(uri)
    if match and match[1].lower() not in ("s3", "s3a", "s3n", "file"):
        authority, slash, rest = uri[match.end() :].partition("/")
        authority, question, _ = authority.partition("?")
        authority = authority.split("#")[0].rpartition("@")[2]
        if not question:
            rest, question, _ = rest.split("#")[0].partition("?")
        uri = match[0] + authority + slash + rest + ("?…" if question else "")
    elif match:
        uri = match[0] + _without_keys(uri[match.end() :])
    shown = "".join(c if c.isprintable() else "�" for c in uri)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def _without_keys(rest: str) -> str:
    """What follows ``s3://`` without KEY:SECRET@. A secret may have slashes; no bucket has a colon or an @."""
    authority, slash, key = rest.partition("/")
    if "@" in authority:
        return authority.rpartition("@")[2] + slash + key
    if ":" in authority and not authority.startswith("arn:"):
        return key.partition("@")[2] or f"…{slash}{key}"
    return rest


def without_credentials(uri: str) -> str:
    """A URI that still names its file, without user, password and what signs it; any other text as it is."""
    match = _SCHEME.match(uri.lstrip())
    if not match:
        return uri
    rest = uri.lstrip()[match.end() :]
    if match[1].lower() in ("s3", "s3a", "s3n"):
        return match[0] + _without_keys(rest)
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    return match[0] + rest[:end].rpartition("@")[2] + _SIGNED.sub(r"\1…", rest[end:])


def safe_text(text: str) -> str:
    """``text`` with every URI in it as `safe_uri` shows it."""
    return _URI.sub(lambda found: safe_uri(found[0]), text)


def _trimmed(uri: str) -> str:
    """Without the blanks that cells of tables have around URLs. Names of files and objects may have them."""
    bare = uri.strip()
    if bare[:7].lower() == "http://" or bare[:8].lower() == "https://":
        return bare
    bare = uri.lstrip()
    return bare if _SCHEME.match(bare) or bare[:5].lower() == "data:" else uri


def _absolute(location: str, option: str) -> str:
    if not location:
        raise ConfigurationError(f"{option} is empty. Give a folder, s3://bucket/prefix or https://host/path")
    match = _SCHEME.match(location)
    if not match:
        return os.path.abspath(location)
    if match[0].lower() == location.lower() and location.lower() in ("s3://", "http://", "https://"):
        return location.lower()
    try:
        return _normalise(location)
    except UnitError as error:
        raise ConfigurationError(f"{option} {error.message}") from None


def _scheme(normal: str) -> str:
    if normal.startswith("/"):
        return "file"
    return normal.partition(":")[0].lower()


def _normalise(uri: str) -> str:
    match = _SCHEME.match(uri)
    if not match:
        return os.path.realpath(uri)
    scheme = _ALIASES.get(match[1].lower(), match[1].lower())
    rest = uri[match.end() :]
    if scheme == "file":
        host, _, path = rest.partition("/")
        if host not in ("", "localhost"):
            raise UnitError("fetch", "unsupported", f"{safe_uri(uri)} names a host. Write file:///path")
        return os.path.realpath("/" + unquote(path))
    if scheme == "s3":
        return _normalise_s3(uri, rest)
    if scheme in ("http", "https"):
        return _normalise_url(uri)
    raise UnitError(
        "fetch",
        "unsupported",
        f"{safe_uri(uri)} has scheme {scheme}://. Readable schemes: local paths, {', '.join(SCHEMES)}",
    )


def _normalise_s3(uri: str, rest: str) -> str:
    bucket, slash, key = rest.partition("/")
    bucket = bucket.rpartition("@")[2]
    if not bucket:
        raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} names no bucket. Write s3://bucket/key")
    if any(part in (".", "..") for part in key.split("/")):
        folder = key.endswith("/")
        key = posixpath.normpath(key)
        if key == ".." or key.startswith("../"):
            raise UnitError("fetch", "refused", f"{safe_uri(uri)} leads out of the bucket {bucket}")
        key = "" if key == "." else key + ("/" if folder else "")
    return f"s3://{bucket}{slash}{key}"


def _normalise_url(uri: str) -> str:
    """The URL as it is written, which a signature may cover: only what cannot be sent so is quoted.

    A path that climbs is the exception: it is resolved, so that prefixes mean what they say.
    """
    try:
        quoted = URL(uri).with_fragment(None)  # also tells what is no URL at all
        url = quoted if _has_dots(urlsplit(uri).path) else URL(_quoted(uri.partition("#")[0]), encoded=True)
        url.origin()
    except ValueError as error:
        raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} is no URL: {str(error).split(':')[0]}") from None
    if not url.raw_host:
        raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} names no host")
    return str(url)


def _quoted(uri: str) -> str:
    if uri.isascii() and uri.isprintable() and " " not in uri:
        return uri
    head = _SCHEME.match(uri)
    assert head is not None
    end = min((place for mark in "/?" if (place := uri.find(mark, head.end())) >= 0), default=len(uri))
    authority = uri[:end]
    if not authority.isascii():
        authority = f"{head[0]}{URL(authority).raw_authority}"
    return authority + quote(uri[end:], safe=_SENT)


def _has_dots(path: str) -> bool:
    return any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/"))


def _bucket(uri: str) -> str:
    return uri[len("s3://") :].partition("/")[0]


def _under(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def _covers(prefix: str, normal: str) -> bool:
    scheme = _scheme(normal)
    if _scheme(prefix) != scheme:
        return False
    if prefix == f"{scheme}://":
        return True
    if scheme == "file":
        return _under(normal, os.path.realpath(prefix))
    if scheme == "s3":
        return _under(normal, prefix)
    allowed, url = URL(prefix), URL(normal)
    if (_host(allowed), allowed.port) != (_host(url), url.port):
        return False
    # %2f may be a slash to the server, so a path that still climbs after decoding is under no prefix but the host's.
    if allowed.raw_path != "/" and _has_dots(url.raw_path):
        return False
    return _under(url.raw_path, allowed.raw_path)


def _host(url: URL) -> str:
    return (url.raw_host or "").lower().rstrip(".")


def _prefix_for(normal: str) -> str:
    """What to write after ``--allow`` so that this URI may be read."""
    scheme = _scheme(normal)
    if scheme == "file":
        folder = os.path.dirname(normal).rstrip("/")
        return folder + "/" if folder else normal
    if scheme == "s3":
        return f"s3://{_bucket(normal)}/"
    return f"{URL(normal).with_user(None).origin()}/"


def _shortest(prefixes: list[str]) -> list[str]:
    """Those of the prefixes that no other one covers, in order."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes), key=lambda prefix: (len(prefix), prefix)):
        if not any(prefix.startswith(shorter) for shorter in kept):
            kept.append(prefix)
    local = [prefix for prefix in kept if prefix.startswith("/")]
    if len(local) > 3 and (common := os.path.commonpath(local)) != "/":
        return [common + "/", *(prefix for prefix in kept if prefix not in local)]
    return kept


def _may_be_public(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return False
    literal = literal_address(host)
    return literal is None or is_public(literal)


def _private_names(hosts: list[str], patience_s: float = 1.0) -> list[str]:
    """Those of the host names that DNS says are not public. What does not answer in time is left for later."""
    private: set[str] = set()

    def ask(host: str) -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        if any(not is_public(str(address[4][0])) for address in answers):
            private.add(host)

    # Daemons, not a pool: a pool would keep the process from ending until the last silent name server has timed out.
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts[:64]]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [host for host in hosts if host in private]
