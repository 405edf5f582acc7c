"""What is sent to servers and stores: addresses as written, headers, cookies, and what S3 is
configured with."""

from __future__ import annotations

import contextlib
import os
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media import real_paths
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.stores import s3_config
from internvl_ops.stores.redaction import safe_uri
from testing.faulty_server import BODY, FaultyServer


def get(
    server: FaultyServer, uri: str, *allow: str, headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    policy = ReadPolicy("", allow or (server.url("/"),), headers)
    with Fetcher(policy, attempts=2, backoff_s=0.01, timeout_s=5) as fetcher:
        return fetcher.fetch(uri)


WRITTEN = [
    "/x.jpg?Signature=a%2Fb%2Bc%3D&Key=%7Ek%2C%27&disposition=filename%3D%22a.jpg%22",
    "/a%2Cb/%7Ex%3A1",
    "/a+b/~c,d;e=f!g$h&i'j(k)*l@m:n",
    "/a%2fb%2Fc?x=%5B1%5D&y=[2]",
    "/caf%C3%A9?q=caf%E9&r=%",
    "/a?url=https://example.org/b?c=d",
]


class TestAddresses:
    @pytest.mark.parametrize("written", WRITTEN)
    def test_an_address_is_asked_for_as_it_is_written(
        self, server: FaultyServer, written: str
    ) -> None:
        assert get(server, server.url(written)) == BODY
        assert server.asked[-1] == written

    @pytest.mark.parametrize(
        ("location", "asked"),
        [
            *((written, written) for written in WRITTEN),
            ("b%2Cc.jpg", "/from/b%2Cc.jpg"),
            ("?b=%2F", "/from/here?b=%2F"),
            ("/a.jpg#part", "/a.jpg"),
            ("/a b.jpg", "/a%20b.jpg"),
            (" /a.jpg ", "/a.jpg"),
            ("/caf\xe9.jpg", "/caf%C3%A9.jpg"),
        ],
    )
    def test_so_is_a_redirect(self, server: FaultyServer, location: str, asked: str) -> None:
        server.location = location
        for prefix in ("", server.url("")) if location.startswith("/") else ("",):
            server.location = prefix + location
            assert get(server, server.url("/from/here?located=1")) == BODY
            assert server.asked[-1] == asked

    def test_a_redirect_without_scheme(self, server: FaultyServer) -> None:
        server.location = server.url("/a%2Cb").removeprefix("http:")
        assert get(server, server.url("/from/here?located=1")) == BODY
        assert server.asked[-1] == "/a%2Cb"

    @pytest.mark.parametrize("around", [" {}", "{} ", "\t{}\r\n", "\u00a0{}"])
    def test_blanks_around_an_address(self, server: FaultyServer, path: str, around: str) -> None:
        assert get(server, around.format(server.url(path))) == BODY
        assert server.asked[-1] == path

    def test_blanks_hide_no_secret_and_lift_no_rule(self) -> None:
        assert "pw" not in safe_uri(" https://me:pw@host/a")
        with pytest.raises(UnitError, match="may not be read"):
            ReadPolicy("/data").check(" http://127.0.0.1/a")

    def test_names_of_files_keep_their_blanks(self, tmp_path: Path) -> None:
        (tmp_path / " a.jpg ").write_bytes(b"a")
        with Fetcher(ReadPolicy(str(tmp_path))) as fetcher:
            assert fetcher.fetch(" a.jpg ") == b"a"

    @given(st.text(st.characters(codec="utf-8", exclude_characters="#/\\\x00"), min_size=1))
    def test_what_is_sent_is_plain_and_settled(self, text: str) -> None:
        try:
            once = ReadPolicy("").check(f"http://example.org/a/{text}?s=%2F%2B")
        except UnitError:
            return
        assert once.isascii()
        assert " " not in once
        assert ReadPolicy("").check(once) == once


class TestCookies:
    def test_one_that_a_redirect_sets_comes_back(self, server: FaultyServer, path: str) -> None:
        assert get(server, server.url(f"{path}?cookie=1")) == BODY

    def test_the_next_fetch_knows_nothing_of_it(self, server: FaultyServer, path: str) -> None:
        with Fetcher(ReadPolicy("", (server.url("/"),))) as fetcher:
            fetcher.fetch(server.url(f"{path}?cookie=1"))
            fetcher.fetch(server.url(path))
        assert "Cookie" not in server.headers


SECRET, OPEN = ("Authorization", "Bearer s3cr3t"), ("User-Agent", "me (me@example.org)")


class TestHeaders:
    def test_they_are_sent(self, server: FaultyServer, path: str) -> None:
        get(server, server.url(path), headers=(SECRET, OPEN))
        assert (server.headers["Authorization"], server.headers["User-Agent"]) == (
            SECRET[1],
            OPEN[1],
        )

    def test_a_secret_goes_to_no_other_host(self, server: FaultyServer, path: str) -> None:
        with FaultyServer() as other:
            to = f"{path}?to={other.url(path)}"
            get(server, server.url(to), server.url("/"), other.url("/"), headers=(SECRET, OPEN))
            assert "Authorization" not in other.headers
            assert other.headers["User-Agent"] == OPEN[1]
            policy = ReadPolicy("", (server.url("/"),), (SECRET, OPEN))
            assert policy.headers_for(other.url(path), other.url(path)) == dict((OPEN,))

    def test_a_secret_that_nobody_would_get_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="`allow`=https://HOST/") as error:
            ReadPolicy("/data", ("s3://bucket/",), (SECRET,))
        assert "s3cr3t" not in str(error.value) + repr(
            ReadPolicy("/data", ("https://",), (SECRET,))
        )

    def test_a_host_that_wants_to_know_who_asks(self, server: FaultyServer, path: str) -> None:
        with pytest.raises(UnitError, match="`headers`='User-Agent="):
            get(server, server.url(f"{path}?status=403"))


class TestConfigurationOfS3:
    @pytest.fixture(autouse=True)
    def plain(self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_S3"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url())
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server.expired_next = 0

    def fetch(self, path: str, **options: float) -> bytes:
        with Fetcher(ReadPolicy("s3://own"), backoff_s=0.01, timeout_s=5, **options) as fetcher:  # type: ignore[arg-type]
            return fetcher.fetch(f"s3://own{path}")

    @pytest.mark.parametrize("name", ["AWS_NO_SIGN_REQUEST", "FSSPEC_S3_ANON"])
    @pytest.mark.parametrize("value", ["true", "1", "YES"])
    def test_without_credentials(
        self,
        server: FaultyServer,
        path: str,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        value: str,
    ) -> None:
        monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert self.fetch(path) == BODY
        assert server.asked[-1] == f"/own{path}"
        assert "Authorization" not in server.headers

    @pytest.mark.parametrize("value", ["false", "0", "no"])
    def test_a_switch_that_is_off(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("FSSPEC_S3_ANON", value)
        assert self.fetch(path) == BODY
        assert "Signature" in server.asked[-1]

    def test_who_pays(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FSSPEC_S3_REQUESTER_PAYS", "true")
        assert self.fetch(path) == BODY
        assert server.headers["x-amz-request-payer"] == "requester"

    def test_further_parameters_of_requests(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "FSSPEC_S3_S3_ADDITIONAL_KWARGS",
            '{"ExpectedBucketOwner": "123456789012", "ACL": "private"}',
        )
        assert self.fetch(path) == BODY
        assert server.headers["x-amz-expected-bucket-owner"] == "123456789012"

    def test_what_the_operator_says_of_botocore_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(
            "FSSPEC_S3_CONFIG_KWARGS", '{"connect_timeout": 3, "s3": {"addressing_style": "path"}}'
        )
        found = s3_config.options(connect_timeout=10, read_timeout=30)["config_kwargs"]
        assert found == {
            "connect_timeout": 3,
            "read_timeout": 30,
            "s3": {"addressing_style": "path"},
        }

    @pytest.mark.parametrize(
        "code", ["ExpiredToken", "RequestExpired", "InvalidToken", "AccessDenied"]
    )
    def test_expired_credentials_are_renewed(
        self, server: FaultyServer, path: str, code: str
    ) -> None:
        server.expired_next, server.expired_code = 4, code
        assert self.fetch(path) == BODY

    def test_credentials_that_stay_expired_end_the_run(
        self, server: FaultyServer, path: str
    ) -> None:
        server.expired_next, server.expired_code = 1_000, "ExpiredToken"
        with pytest.raises(ConfigurationError, match=r"expired \(ExpiredToken\)"):
            self.fetch(path, attempts=2, outage_s=0)
        server.expired_next = 0


class TestRealPaths:
    @pytest.mark.parametrize("opens", [real_paths.open_real, real_paths.open_by_folders])
    def test_no_part_of_them_is_a_symlink(self, tmp_path: Path, opens: object) -> None:
        (tmp_path / "real" / "sub").mkdir(parents=True)
        (tmp_path / "real" / "sub" / "x").write_bytes(b"x")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        (tmp_path / "real" / "y").symlink_to(tmp_path / "real" / "sub" / "x")
        os.close(opens(str(tmp_path / "real/sub/x")))  # type: ignore[operator]
        for outside in ("link/sub/x", "real/y"):
            with pytest.raises(OSError, match="symbolic link"):
                opens(str(tmp_path / outside))  # type: ignore[operator]
        with pytest.raises(FileNotFoundError):
            opens(str(tmp_path / "real/gone/x"))  # type: ignore[operator]


def test_base64_in_place_of_a_path_is_said() -> None:
    message = ReadPolicy("/data").explain(["/9j/" + "4AAQSkZJRg" * 40, "iVBORw0KGgo" + "AAAA" * 40])
    assert message is not None
    assert "base64" in message
    assert "`allow`" not in message


@contextlib.contextmanager
def answering(*headers: bytes) -> Iterator[str]:
    """A server whose answers have these headers."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(
                b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"Content-Length: 5", b"", b"hello"])
            )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}/"
        finally:
            running.shutdown()  # before its socket is closed, or the thread never rests again


def fetched(*headers: bytes) -> tuple[bytes, str]:
    with (
        answering(*headers) as url,
        Fetcher(ReadPolicy("", (url,)), attempts=2, backoff_s=0.01) as fetcher,
    ):
        return fetcher.fetch(url), fetcher.version(url)


class TestHeadersOfAnswers:
    def test_long_ones_and_many(self) -> None:
        long = b"Content-Security-Policy: " + b"img-src https://example.org; " * 1_000
        many = [b"Set-Cookie: c%d=v" % number for number in range(500)]
        assert fetched(long, *many)[0] == b"hello"

    def test_a_version_that_is_not_utf8_can_be_kept(self) -> None:
        data, version = fetched(b'ETag: "caf\xe9"')
        assert data == b"hello"
        assert version.encode() == '"caf\ufffd"'.encode()

    def test_what_is_wrong_with_an_answer_is_said_without_quoting_it(self) -> None:
        with pytest.raises(UnitError, match="the answer is not HTTP as it should be") as caught:
            fetched(b"Set-Cookie: key=SECRET" + b"x" * 100_000)
        assert "SECRET" not in caught.value.message
        assert (caught.value.kind, caught.value.attempts) == ("storage", 2)

    def test_an_encoding_that_the_body_has_not(self) -> None:
        with pytest.raises(UnitError, match=r"cannot be decompressed \(br: "):
            fetched(b"Content-Encoding: br")
        assert fetched(b"Content-Encoding: nonsense")[0] == b"hello"
