"""How stores and servers are reached: every way to configure S3, proxies, and those that do not
answer."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.silence import Silence
from internvl_ops.stores import s3_config
from testing.faulty_server import BODY, FaultyServer

DEAD = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in s3_config.environment():
        monkeypatch.delenv(name)
    monkeypatch.setattr(fsspec.config, "conf", {})
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def fetch(uri: str, *allow: str, s3_anonymous: bool = False, **options: float) -> bytes:
    policy = ReadPolicy("s3://own", allow, s3_anonymous=s3_anonymous)
    given: dict[str, float] = {
        "backoff_s": 0.01,
        "timeout_s": 120,
        "attempts": 1,
        "outage_s": 0,
    } | options
    with Fetcher(policy, **given) as fetcher:  # type: ignore[arg-type]
        return fetcher.fetch(uri)


def set_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "12345678")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")


WAYS = {
    "of one service": {
        "AWS_ENDPOINT_URL_S3": "ENDPOINT",
        "AWS_ENDPOINT_URL": DEAD,
        "AWS_ACCESS_KEY_ID": "12345678",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
    },
    "profile": {"AWS_PROFILE": "night"},
    "profile of s3fs": {"FSSPEC_S3_PROFILE": "night"},
    "s3fs": {
        "FSSPEC_S3_ENDPOINT_URL": "ENDPOINT",
        "FSSPEC_S3_KEY": "12345678",
        "FSSPEC_S3_SECRET": "s3cr3t",
    },
    "s3fs as JSON": {
        "FSSPEC_S3": '{"endpoint_url": "ENDPOINT", "key": "12345678", "secret": "s3cr3t"}'
    },
    "s3fs over AWS": {
        "AWS_ENDPOINT_URL": DEAD,
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SECRET_ACCESS_KEY": "another",
        "FSSPEC_S3_ENDPOINT_URL": "ENDPOINT",
        "FSSPEC_S3_USERNAME": "12345678",
        "FSSPEC_S3_PASSWORD": "s3cr3t",
    },
    "of the client": {
        "FSSPEC_S3_CLIENT_KWARGS": '{"endpoint_url": "ENDPOINT", "region_name": "eu-west-1"}',
        "AWS_ACCESS_KEY_ID": "12345678",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
    },
}


class TestConfiguration:
    @pytest.mark.parametrize("way", WAYS)
    def test_media_are_read_as_it_says(
        self,
        server: FaultyServer,
        path: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        way: str,
    ) -> None:
        (tmp_path / "config").write_text(f"[profile night]\nendpoint_url = {server.url('')}\n")
        (tmp_path / "credentials").write_text(
            "[night]\naws_access_key_id=12345678\naws_secret_access_key=s3cr3t\n"
        )
        for name, value in WAYS[way].items():
            monkeypatch.setenv(name, value.replace("ENDPOINT", server.url("")))
        assert fetch(f"s3://own{path}") == BODY
        assert "Credential=12345678" in server.asked[-1]

    def test_so_do_the_files_of_fsspec(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = {"endpoint_url": server.url(""), "key": "12345678", "secret": "s3cr3t"}
        monkeypatch.setitem(fsspec.config.conf, "s3", told)
        assert fetch(f"s3://own{path}") == BODY
        assert "Credential=12345678" in server.asked[-1]

    @pytest.mark.parametrize("credentials", [False, True])
    def test_a_public_bucket_is_read_unsigned(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch, credentials: bool
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url(""))
        if credentials:
            set_keys(monkeypatch)
        assert fetch(f"s3://own{path}", s3_anonymous=True) == BODY
        assert server.asked[-1] == f"/own{path}"
        assert "Authorization" not in server.headers

    def test_who_asks_pays_where_the_bucket_wants_it(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url(""))
        set_keys(monkeypatch)
        for pays in (False, True):
            with Fetcher(ReadPolicy("s3://own", s3_requester_pays=pays), attempts=1) as fetcher:
                assert fetcher.fetch(f"s3://own{path}") == BODY
            assert server.headers.get("x-amz-request-payer") == ("requester" if pays else None)

    def test_how_to_connect_is_left_to_botocore(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_keys(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", DEAD)
        monkeypatch.setenv(
            "FSSPEC_S3_CONFIG_KWARGS", f'{{"proxies": {{"http": "{server.url("")}"}}}}'
        )
        assert fetch(f"s3://own{path}") == BODY

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("AWS_PROFILE", "nobody"),
            ("FSSPEC_S3_CLIENT_KWARGS", "s3cr3t"),
            ("FSSPEC_S3", '["s3cr3t"]'),
            ("FSSPEC_S3_MAX_CONCURRENCY", "many"),
            ("FSSPEC_S3_NO_SUCH_SETTING", "s3cr3t"),
            ("AWS_ENDPOINT_URL", "user:s3cr3t@host"),
        ],
    )
    def test_what_cannot_be_used_is_said_without_secrets(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        set_keys(monkeypatch)
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError) as caught:
            fetch("s3://own/a.jpg")
        assert "AWS_" in str(caught.value) or name in str(caught.value)
        assert "s3cr3t" not in str(caught.value)


class TestProxies:
    URL = "http://media.invalid/a.jpg?sig=1"

    @pytest.mark.parametrize("credentials", ["", "user:s3cr3t@"])
    def test_addresses_under_allow_go_through_them(
        self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, credentials: str
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", server.url("").replace("//", f"//{credentials}"))
        monkeypatch.setenv("http_proxy", server.url("").replace("//", f"//{credentials}"))
        assert fetch(self.URL, "http://media.invalid/") == BODY
        assert server.asked[-1].endswith("/a.jpg?sig=1")
        assert ("Proxy-Authorization" in server.headers) == bool(credentials)

    def test_and_so_do_objects(
        self, server: FaultyServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_keys(monkeypatch)
        monkeypatch.setenv("http_proxy", server.url(""))
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
        assert fetch(f"s3://own{path}") == BODY

    def test_other_addresses_do_not_and_are_told_of_the_way(
        self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", server.url(""))
        asked = len(server.asked)
        with pytest.raises(UnitError, match="`allow`=http://"):
            fetch(self.URL)
        assert len(server.asked) == asked

    def test_nor_do_those_of_no_proxy(
        self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", DEAD)
        monkeypatch.setenv("no_proxy", "127.0.0.1,.invalid")
        assert fetch(server.url("/a.jpg"), server.url("/")) == BODY

    @pytest.mark.parametrize("proxy", ["http://user:s3cr3t@127.0.0.1:9", "user:s3cr3t@127.0.0.1:9"])
    def test_one_that_is_away_is_named_as_such(
        self, monkeypatch: pytest.MonkeyPatch, proxy: str
    ) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(UnitError, match="proxy") as caught:
            fetch(self.URL, "http://media.invalid/")
        assert "s3cr3t" not in caught.value.message

    @pytest.mark.parametrize(
        "proxy", ["socks5://user:s3cr3t@127.0.0.1:9", "http://user:s3cr3t@h:99999"]
    )
    def test_one_that_cannot_be_used_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, proxy: str
    ) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(ConfigurationError, match="HTTP_PROXY") as caught:
            fetch(self.URL, "http://media.invalid/")
        assert "s3cr3t" not in str(caught.value)


class _SilentAboutOne(BaseHTTPRequestHandler):
    """A store that says nothing about one object."""

    over = threading.Event()

    def do_GET(self) -> None:
        if self.path.startswith("/own/"):
            self.over.wait()
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class TestNoAnswer:
    def test_a_store_that_accepts_no_connection_ends_the_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_keys(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", DEAD.replace("//", "//user:s3cr3t@"))
        with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9.*has not answered") as caught:
            fetch("s3://own/a.jpg", outage_s=0.1)
        assert "s3cr3t" not in str(caught.value)

    def test_so_does_one_that_accepts_them_and_never_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_keys(monkeypatch)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
            with pytest.raises(ConfigurationError, match="has not answered"):
                fetch("s3://own/a.jpg", timeout_s=0.2)

    def test_one_that_is_silent_about_one_object_costs_its_row(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_keys(monkeypatch)
        store = ThreadingHTTPServer(("127.0.0.1", 0), _SilentAboutOne)
        threading.Thread(target=store.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.server_port}")
        try:
            with pytest.raises(UnitError) as caught:
                fetch("s3://own/a.jpg", timeout_s=3)
            assert caught.value.kind == "timeout"
        finally:
            _SilentAboutOne.over.set()
            store.shutdown()
            store.server_close()

    def test_a_web_server_that_is_away_is_passed_over(self) -> None:
        policy = ReadPolicy("", (f"{DEAD}/",))
        errors: list[str] = []
        with Fetcher(policy, attempts=1, outage_s=0) as fetcher:
            for number in range(14):
                with pytest.raises(UnitError) as caught:
                    fetcher.fetch(f"{DEAD}/{number}.jpg")
                assert caught.value.kind == "storage"
                errors.append(caught.value.message)
        assert all("the connection failed" in message for message in errors[:11])
        assert all("not asked again" in message for message in errors[11:])

    def test_it_is_looked_at_now_and_then_and_asked_again_once_it_answers(self) -> None:
        now = 1000.0
        silence = Silence(180, objects=2, look_s=30, clock=lambda: now)
        silence.gave_up("http://a", 50)
        assert silence.passed_over("http://a") is None  # one object may be the fault
        silence.gave_up("http://a", 50)
        assert silence.passed_over("http://a") is None  # not for long yet
        now += 180
        assert silence.passed_over("http://a") is None  # the look
        assert silence.passed_over("http://a") == 230
        assert silence.passed_over("http://b") is None
        now += 31
        assert silence.passed_over("http://a") is None
        silence.answered("http://a")
        assert silence.passed_over("http://a") is None
        assert silence.passed_over("http://a") is None
