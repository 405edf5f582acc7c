"""Makes URIs and texts safe to show: without passwords, signatures and keys."""

from __future__ import annotations

import re

from internvl_ops.stores.schemes import SCHEME, SCHEMES, has_buckets, scheme_named, trimmed

_SHOWN = 300  # maximum characters of a URI in a message
_EXAMINED = 10 * _SHOWN  # characters of a path that are examined; what follows is never shown
_DEEPEST = 3  # levels of URIs within URIs; deeper ones are not shown at all
# A URI in a text. A query may contain characters that end a path. The scheme has a largest length,
# so that the time for a long text grows with its length and not with its square.
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,30}://(?:[^\s/@]*@)?[^\s'\"<>|\\?#]+(?:[?#][^\s'\"<>]*)?"
)
# Parameters that sign a request or identify the client, by their whole name or a part of it.
_SECRET_WHOLE = (
    r"sig|sign|key|policy|auth|pass|pwd|jwt|hmac|hdnts|hdnea|rlkey|q-ak|cred|bearer|sid"
    r"|Key-Pair-Id|AWSAccessKeyId|OSSAccessKeyId"
)
_SECRET_PART = (
    r"signature|credential|token|secret|password|passwd|api[-_]?key|access[-_]?(?:key|id)"
    r"|authorization|(?:auth|[_.-])key|session|saml|private"
)
# Names that are secrets only with long values, as hosts of pictures sign their addresses.
_LONG = r"(?:hm|oh|st|code|ticket)"
_SECRET_NAME = rf"(?:{_SECRET_WHOLE}|[\w.%-]{{0,100}}(?:{_SECRET_PART})[\w.%-]{{0,100}})"
_SIGNED = re.compile(
    rf"([?&#;](?:{_SECRET_NAME}|{_LONG}(?==[\w-]{{24}}))=)[^&#;\s'\"<>]*", re.IGNORECASE
)
# The same in an address that is quoted in the query of another.
_SIGNED_WITHIN = re.compile(
    rf"((?:%3F|%26|%3B|%23){_SECRET_NAME}%3D)(?:%(?!26|23|3B)[0-9a-f]{{2}}|[^%&#;\s'\"<>])*",
    re.IGNORECASE,
)
_USER_WITHIN = re.compile(r"(?<=://)[^\s/?#@:]{0,200}:[^\s/?#@]{0,200}@")
# user:password@ of an address without scheme; a password may contain any character, a user no
# slash.
_USER = re.compile(r"^(?://)?[^\s/:@]*:\S*@")
# The same within a text, in two steps that are linear in its length: what stands before an @, then
# a user in it.
_BEFORE_AT = re.compile(r"(?<![^\s/@'\"])[^\s/@'\"]++@(?=[\w\[])")
_USER_BEFORE_AT = re.compile(r"(?<![\w.~%+-])[\w.~%+-]++:(?=[^@])")
_HEADER = re.compile(
    r"((?:authorization|x-api-key|x-auth-token|cookie)['\"]?\s*[:=]\s*['\"]?)(?!…)"
    r"(?:AWS4-HMAC-SHA256\s[^\r\n'\"]+|(?:Bearer|Basic|Digest|Token)\s+[^\s'\"]+"
    r"|[^\s'\";]+(?:;\s*[^\s'\"=]+=[^\s'\"]*)*)",
    re.IGNORECASE,
)
_AZURE = re.compile(r"[a-z0-9$-]+@[a-z0-9]+(?:\.[a-z0-9-]+)+")
_BEARER = re.compile(r"\b(Bearer\s+)[\w.~+/=-]{8,}")
# Keys that are known by their beginning, and what stands behind names of secrets.
_KEY = re.compile(r"\b(hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abpr]-)[A-Za-z0-9_-]{16,}")
_NAMED = re.compile(
    r"\b([\w-]{0,60}(?:secret|passw(?:or)?d|access_key|api[_-]?key|subscription-key)[\w-]{0,60}"
    r"['\"]?\s{0,3}[=:]\s{0,3}['\"]?)(?!…)[^\s'\",;&]{6,}",
    re.IGNORECASE,
)


def safe_uri(uri: str) -> str:
    """A URI for a log: without user, password, query (which may hold signatures) and data, at most
    300 characters."""
    return _safe_uri(uri, 0)


def _safe_uri(uri: str, depth: int) -> str:
    """``depth`` is the number of URIs that contain this one."""
    uri = trimmed(uri)
    if uri[:5].lower() == "data:":
        return f"{uri[:40].split(',')[0]},… ({len(uri):,} characters)"
    match = SCHEME.match(uri)
    if match is None:
        # a password may look like a signature's name
        uri = _SIGNED.sub(r"\1…", _USER.sub("…@", uri, count=1))
    elif has_buckets(match[1]):
        uri = match[0] + _SIGNED.sub(r"\1…", _without_keys(match[1], uri[match.end() :]))
    elif match[1].lower() != "file":
        path, question, _ = _without_user(uri[match.end() :]).partition("#")[0].partition("?")
        uri = match[0] + _safe_text(path[:_EXAMINED], depth + 1) + ("?…" if question else "")
    shown = "".join(c if c.isprintable() else "�" for c in uri)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def safe_text(text: str) -> str:
    """``text`` with every URI in the form of `safe_uri`, and without passwords and headers that it
    may quote."""
    return _safe_text(text, 0)


def _safe_text(text: str, depth: int) -> str:
    text = _URI.sub(lambda found: _safe_uri(found[0], depth) if depth < _DEEPEST else "…", text)
    text = _BEARER.sub(r"\1…", _HEADER.sub(r"\1…", text))
    text = _SIGNED.sub(r"\1…", _BEFORE_AT.sub(_without_password, text))
    return _NAMED.sub(r"\1…", _KEY.sub(r"\1…", text))


def _without_password(found: re.Match[str]) -> str:
    # as in /a:b@2x.jpg
    in_path = found.string[max(0, found.start() - 1) : found.start()] in ("/", "@")
    user = _USER_BEFORE_AT.search(found[0], 1 if in_path else 0)
    return found[0] if user is None else f"{found[0][: user.start()]}…@"


def without_credentials(uri: str) -> str:
    """A URI that still names its file, but without user, password and signature; any other text is
    unchanged."""
    match = SCHEME.match(uri.lstrip())
    if match is None:
        return _USER.sub("//…@", uri, count=1) if uri.startswith("//") else uri
    rest = uri.lstrip()[match.end() :]
    rest = _without_keys(match[1], rest) if has_buckets(match[1]) else _without_user(rest)
    rest = _USER_WITHIN.sub("…@", rest)
    return match[0] + _SIGNED_WITHIN.sub(r"\1…", _SIGNED.sub(r"\1…", rest))


def without_keys(uri: str) -> str:
    """A canonical URI of a store without ``KEY:SECRET@``."""
    match = SCHEME.match(uri)
    return uri if match is None else match[0] + _without_keys(match[1], uri[match.end() :])


def _without_keys(scheme: str, rest: str) -> str:
    """The text after ``s3://`` without KEY:SECRET@. A secret may contain slashes; no bucket has a
    colon or an @.

    A container of Azure may stand before the host of its account.
    """
    authority, slash, key = rest.partition("/")
    if _AZURE.fullmatch(authority) and scheme_named(scheme) is SCHEMES["az"]:
        return rest
    if "@" in authority:
        return authority.rpartition("@")[2] + slash + key
    if ":" in authority and not authority.startswith("arn:"):
        return key.partition("@")[2] or f"…{slash}{key}"
    return rest


def _without_user(rest: str) -> str:
    """The text after ``https://`` without user:password@. A password may contain characters that
    usually end a host."""
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    authority = rest[:end]
    if "@" in authority:
        return authority.rpartition("@")[2] + rest[end:]
    _, colon, port = authority.partition(":")
    if colon and not port.isdigit() and not authority.startswith("[") and "@" in rest:
        return rest.rpartition("@")[2]
    return rest
