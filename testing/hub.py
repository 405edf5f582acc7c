"""The Hugging Face Hub over HTTP on this machine: what its clients ask of it to list, read and
commit files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_API = re.compile(
    r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|preupload|commit)/([^/]+)(?:/(.*))?)?$"
)
_FILE = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
# bytes; a file of this size is one of large-file storage, whose ETag is its SHA-256
LARGE = 1 << 20


class Hub:
    """Repositories with their commits.

    Attributes:
        asked: Every request as ``METHOD path``.
        ranges: The ``Range`` header of each request for a file that had one.
        cut_after: Bytes of a body after which the next answer breaks off; None to send all.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.cut_after: int | None = None
        self._commits: dict[str, dict[str, bytes]] = {}
        self._branches: dict[tuple[str, str, str], str] = {}

    def commit(self, repo: str, files: dict[str, bytes], *, branch: str = "main") -> str:
        """Makes a commit with these files on a branch; ``repo`` is ``datasets/OWNER/NAME``. Returns
        its hash."""
        kind, _, name = repo.partition("/")
        listed = json.dumps([kind, name, len(self._commits), sorted(files)])
        sha = hashlib.sha1(listed.encode()).hexdigest()
        self._commits[sha] = dict(files)
        self._branches[kind, name, branch] = sha
        return sha

    def sha(self, kind: str, name: str, revision: str) -> str | None:
        """The commit of a branch or of the beginning of a hash."""
        if found := self._branches.get((kind, name, revision)):
            return found
        known = any(key[:2] == (kind, name) for key in self._branches)
        return revision if known and revision in self._commits else None

    def files(self, sha: str) -> dict[str, bytes]:
        return self._commits[sha]


def etag(data: bytes) -> str:
    """The hash of a file as the Hub states it."""
    if len(data) >= LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": etag(data)}
    if len(data) >= LARGE:
        found["lfs"] = {"oid": etag(data), "size": len(data), "pointerSize": 134}
    return found


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes = b"") -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        path = parts.path
        if found := _API.match(path):
            self._api(found, parse_qs(parts.query), body)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := _FILE.match(path):
            self._file(found[1] or "models", found[2], unquote(found[3]), unquote(found[4]))
        else:
            self._json({"error": "no such page"}, 404)

    def _api(self, found: re.Match[str], query: dict[str, list[str]], body: bytes) -> None:
        kind, name, what, revision, path = found.groups()
        sha = self.hub.sha(kind, name, unquote(revision or "main"))
        if sha is None:
            known = self.hub.sha(kind, name, "main") is not None
            self._json(
                {"error": "not found"},
                404,
                {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"},
            )
            return
        files = self.hub.files(sha)
        if what == "tree":
            self._tree(
                files, unquote(path or ""), query.get("recursive", ["false"])[0].lower() == "true"
            )
        elif what == "preupload":
            asked = [file["path"] for file in json.loads(body)["files"]]
            there = {path: etag(files[path]) for path in asked if path in files}
            told = [
                {"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked
            ]
            self._json({"files": [one | {"oid": there.get(one["path"])} for one in told]})
        elif what == "commit":
            made = self.hub.commit(f"{kind}/{name}", _changed(files, body))
            self._json(
                {"commitUrl": f"{self.hub.url}/{kind}/{name}/commit/{made}", "commitOid": made}
            )
        elif what == "paths-info":
            self._json(self._entries(files, _paths_asked(body)))
        else:
            siblings = [
                {"rfilename": path, "size": len(data), "blobId": etag(data)}
                for path, data in files.items()
            ]
            self._json(
                {
                    "_id": "1",
                    "id": name,
                    "sha": sha,
                    "siblings": siblings,
                    "private": False,
                    "tags": [],
                }
            )

    def _create(self, asked: dict[str, Any]) -> None:
        kind, name = f"{asked.get('type', 'model')}s", f"{asked['organization']}/{asked['name']}"
        if self.hub.sha(kind, name, "main") is None:
            self.hub.commit(f"{kind}/{name}", {})
        self._json({"url": f"{self.hub.url}/{kind}/{name}"})

    def _tree(self, files: dict[str, bytes], folder: str, recursive: bool) -> None:
        prefix = f"{folder}/" if folder else ""
        below = {
            path[len(prefix) :]: data for path, data in files.items() if path.startswith(prefix)
        }
        if not below and folder:
            self._json(
                {"error": f"{folder} does not exist"}, 404, {"X-Error-Code": "EntryNotFound"}
            )
            return
        names = {name if recursive else name.partition("/")[0] for name in below}
        self._json(self._entries(files, [prefix + name for name in sorted(names)]))

    def _entries(self, files: dict[str, bytes], paths: list[str]) -> list[dict[str, Any]]:
        entries = []
        for path in paths:
            if path in files:
                entries.append(_entry(path, files[path]))
            elif any(name.startswith(f"{path}/") for name in files):
                entries.append({"type": "directory", "path": path, "oid": "0", "size": 0})
        return entries

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        sha = self.hub.sha(kind, name, revision)
        data = self.hub.files(sha).get(path) if sha else None
        if sha is None or data is None:
            self._json(
                {"error": "not found"},
                404,
                {"X-Error-Code": "EntryNotFound" if sha else "RevisionNotFound"},
            )
            return
        headers = {"ETag": f'"{etag(data)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, data, headers)
            return
        self.hub.ranges.append(self.headers["Range"])
        start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if start >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        self._send(206, data[start : end + 1], headers)

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(
            status,
            json.dumps(value).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut, self.hub.cut_after = (
            (self.hub.cut_after, None) if b"/resolve/" in self.path.encode() else (None, None)
        )
        self.wfile.write(data if cut is None else data[:cut])
        if cut is not None and cut < len(data):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def _paths_asked(body: bytes) -> list[str]:
    """Paths of a request, which clients send as JSON or as a form."""
    try:
        paths = json.loads(body)["paths"]
    except (ValueError, TypeError):
        paths = parse_qs(body.decode()).get("paths", [])
    return [paths] if isinstance(paths, str) else list(paths)


def _changed(files: dict[str, bytes], body: bytes) -> dict[str, bytes]:
    """The files after a commit, which comes as lines of JSON."""
    changed = dict(files)
    for line in body.splitlines():
        operation = json.loads(line)
        value = operation["value"]
        if operation["key"] == "file":
            changed[value["path"]] = base64.b64decode(value["content"])
        elif operation["key"] == "deletedFile":
            del changed[value["path"]]
    return changed


@contextmanager
def hub() -> Iterator[Hub]:
    """Runs a Hub; `Hub.url` is its address, for ``HF_ENDPOINT``."""
    running = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": running}))
    running.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
