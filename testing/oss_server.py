"""OSS over HTTP on this machine: moto's S3 server, with what OSS has in other words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any

_THERE = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>FileAlreadyExists</Code><Message>The object you specified already \
exists.</Message></Error>"""
_UNKNOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidAccessKeyId</Code><Message>The OSS Access Key Id you provided does not \
exist.</Message></Error>"""
_NAMESPACE = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
Start = Callable[..., Any]


class OssServer:
    """A WSGI application: OSS by S3.

    It refuses the key ``nobody`` and checks no signature. ``x-oss-forbid-overwrite`` is what OSS
    makes of it.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import create_backend_app

        self._s3 = create_backend_app("s3")
        self._lock = Lock()  # a write that must not replace looks first

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if "nobody" in environ.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml"), ("x-oss-request-id", "1")])
            return [_UNKNOWN]
        environ["HTTP_AUTHORIZATION"] = "AWS testing:signature"
        asked = environ.get("QUERY_STRING", "").split("&")
        environ["QUERY_STRING"] = "&".join(part for part in asked if part != "continuation-token=")
        with self._lock:
            forbidden = environ.get("HTTP_X_OSS_FORBID_OVERWRITE") == "true"
            if environ["REQUEST_METHOD"] == "PUT" and forbidden and self._is_there(environ):
                start(
                    "409 Conflict", [("Content-Type", "application/xml"), ("x-oss-request-id", "1")]
                )
                return [_THERE]
            answer: list[Any] = []
            body = b"".join(
                self._s3(environ, lambda status, headers, *_: answer.extend((status, headers)))
            )
        status, headers = answer
        if environ["REQUEST_METHOD"] != "HEAD":
            body = body.replace(_NAMESPACE, b"").replace(
                b"</Contents>", b"<Type>Normal</Type></Contents>"
            )
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        start(status, headers)
        return [body]

    def _is_there(self, environ: dict[str, Any]) -> bool:
        told: list[str] = []
        asked = {**environ, "REQUEST_METHOD": "HEAD", "CONTENT_LENGTH": "0"}
        list(self._s3(asked, lambda status, *_: told.append(status)))
        return told[-1].startswith("200")


@contextmanager
def alibaba_oss() -> Iterator[dict[str, str]]:
    """Runs the server; yields the environment by which the store finds it."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    quiet = type("Quiet", (WSGIRequestHandler,), {"log_request": lambda *_: None})
    server = make_server("127.0.0.1", 0, OssServer(), threaded=True, request_handler=quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "OSS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "OSS_ACCESS_KEY_ID": "testing",
            "OSS_ACCESS_KEY_SECRET": "testing-secret",
        }
    finally:
        server.shutdown()
        server.server_close()
