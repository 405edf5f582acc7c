"""What arrives, what is tried again, what is refused, and what the error says."""

import base64
import itertools
import os
import pickle
import socket

import pytest
from aiohttp.abc import AbstractResolver

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from testing.faulty_server import BODY, FaultyServer
from testing.object_store import object_store


@pytest.fixture
def fetcher(server):
    with make_fetcher(server) as running:
        yield running


def make_fetcher(server, **options) -> Fetcher:
    policy = ReadPolicy("", allow=(server.url("/"),))
    return Fetcher(policy, **{"backoff_s": 0.01, "attempts": 3, "timeout_s": 5, **options})


def failure(fetcher: Fetcher, uri: str) -> UnitError:
    with pytest.raises(UnitError) as caught:
        fetcher.fetch(uri)
    assert caught.value.stage == "fetch"
    return caught.value


class FixedResolver(AbstractResolver):
    """Answers every name with the same addresses, or with the next one each time it is asked."""

    def __init__(self, *addresses: str, port: int = 0, in_turn: bool = False) -> None:
        self.addresses, self.port, self.in_turn = list(addresses), port, in_turn

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        addresses = (
            [self.addresses.pop(0)] if self.in_turn and len(self.addresses) > 1 else self.addresses
        )
        return [
            {
                "hostname": host,
                "host": address,
                "port": self.port or port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self):
        pass


class TestHttp:
    def test_the_body_arrives(self, server, fetcher, path):
        assert fetcher.fetch(server.url(path)) == BODY

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_a_passing_status_is_tried_again(self, server, fetcher, path, status):
        assert fetcher.fetch(server.url(f"{path}?status={status}&times=2")) == BODY
        assert server.hits[path] == 3

    @pytest.mark.parametrize("fault", ["reset", "short"])
    def test_a_broken_transfer_is_tried_again(self, server, fetcher, path, fault):
        assert fetcher.fetch(server.url(f"{path}?{fault}=1")) == BODY
        assert server.hits[path] == 2

    def test_a_stalled_transfer_is_tried_again(self, server, path):
        with make_fetcher(server, timeout_s=0.3) as fetcher:
            assert fetcher.fetch(server.url(f"{path}?stall=1")) == BODY

    def test_a_status_that_stays_is_given_up_and_may_be_retried_later(self, server, fetcher, path):
        error = failure(fetcher, server.url(f"{path}?status=503"))
        assert (error.kind, error.attempts, error.retriable) == ("storage", 3, True)
        assert "HTTP 503, after 3 attempts" in error.message

    def test_no_answer_in_time_is_a_timeout(self, server, path):
        with make_fetcher(server, timeout_s=0.1, attempts=2) as fetcher:
            error = failure(fetcher, server.url(f"{path}?delay=5"))
        assert (error.kind, error.attempts, error.retriable) == ("timeout", 2, True)

    def test_a_refused_connection_is_storage(self, server, fetcher):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            policy = ReadPolicy("", allow=(f"http://127.0.0.1:{unused.getsockname()[1]}/",))
            with Fetcher(policy, attempts=2, backoff_s=0.01) as fetcher:
                error = failure(fetcher, policy.allow[0])
        assert (error.kind, error.attempts) == ("storage", 2)
        assert "refused" in error.message

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(404, "not_found"), (410, "not_found"), (403, "refused"), (400, "refused")],
    )
    def test_a_status_for_good_is_not_tried_again(self, server, fetcher, path, status, kind):
        error = failure(fetcher, server.url(f"{path}?status={status}"))
        assert (error.kind, error.attempts, error.retriable) == (kind, 1, kind == "not_found")
        assert server.hits[path] == 1

    def test_retry_after_is_waited_for(self, server, fetcher, path):
        assert fetcher.fetch(server.url(f"{path}?status=429&times=1&after=0.05")) == BODY

    def test_a_compressed_body_is_unpacked(self, server, fetcher, path):
        assert fetcher.fetch(server.url(f"{path}?gzip=1")) == BODY

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
    def test_a_compressed_body_that_was_cut_is_fetched_again(self, server, fetcher, path, encoding):
        assert fetcher.fetch(server.url(f"{path}?cut={encoding}")) == BODY
        assert server.hits[path] == 2

    def test_a_part_that_is_all_is_taken_and_another_fetched_again(self, server, fetcher, path):
        whole = f"0-{len(BODY) - 1}/{len(BODY)}"
        assert fetcher.fetch(server.url(f"{path}?range={whole}")) == BODY
        assert server.hits[path] == 1
        for part in ("0-99/999", f"10-{len(BODY) - 1}/{len(BODY)}", "0-99/*", "nonsense"):
            assert fetcher.fetch(server.url(f"{path}/{part}?range={part}")) == BODY
            error = failure(fetcher, server.url(f"{path}/b?range={part}&always=1"))
            assert (error.kind, error.retriable) == ("storage", True)
            assert "HTTP 206" in error.message

    @pytest.mark.parametrize("status", [202, 500, 530, 599])
    def test_a_status_that_may_pass_is_tried_again(self, server, fetcher, path, status):
        assert fetcher.fetch(server.url(f"{path}?status={status}&times=1")) == BODY

    def test_nothing_of_this_machine_is_sent(self, server, fetcher, path, monkeypatch, tmp_path):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        fetcher.fetch(server.url(path))
        assert not {"Authorization", "Cookie", "Referer"} & set(server.headers)

    def test_a_user_and_password_in_the_url_are_used_and_not_shown(self, server, fetcher, path):
        error = failure(
            fetcher, server.url(path + "?status=403&sig=s3cr3t").replace("//", "//me:s3cr3t@")
        )
        assert server.headers["Authorization"] == "Basic " + base64.b64encode(b"me:s3cr3t").decode()
        assert "s3cr3t" not in str(error)


class TestByteCap:
    def test_a_stated_length_over_the_cap_is_not_begun(self, server, path):
        with make_fetcher(server, max_bytes=1000) as fetcher:
            error = failure(fetcher, server.url(f"{path}?claims=99999999999"))
        assert error.kind == "too_large"
        assert "99,999,999,999" in error.message
        assert "`max_bytes`" in error.message

    def test_an_endless_body_is_cut_at_the_cap(self, server, path):
        with make_fetcher(server, max_bytes=100_000) as fetcher:
            error = failure(fetcher, server.url(f"{path}?endless=1"))
        assert (error.kind, error.attempts) == ("too_large", 1)

    def test_a_body_of_exactly_the_cap_passes(self, server, path):
        with make_fetcher(server, max_bytes=len(BODY)) as fetcher:
            assert fetcher.fetch(server.url(path)) == BODY

    def test_a_compressed_body_is_measured_unpacked(self, server, path):
        with make_fetcher(server, max_bytes=len(BODY) - 1) as fetcher:
            assert failure(fetcher, server.url(f"{path}?gzip=1")).kind == "too_large"


class TestPrivateAddresses:
    """``public.example`` is resolved by the test, so that no request leaves the machine."""

    def fetcher(self, *addresses, allow=(), **options):
        policy = ReadPolicy("", allow=allow)
        return Fetcher(
            policy, attempts=1, timeout_s=2, resolver=lambda: FixedResolver(*addresses, **options)
        )

    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"]
    )
    def test_a_name_that_leads_to_a_private_address_is_refused(self, server, address):
        with self.fetcher(address) as fetcher:
            error = failure(fetcher, f"http://public.example:{server.port}/name.jpg?sig=s3cr3t")
        assert error.kind == "refused"
        assert address in error.message
        assert error.message.endswith(
            f"add {keyword('allow', f'http://public.example:{server.port}/')}"
        )
        assert server.hits["/name.jpg"] == 0

    def test_one_private_address_among_public_ones_is_enough(self, server):
        with self.fetcher("8.8.8.8", "127.0.0.1") as fetcher:
            assert (
                failure(fetcher, f"http://public.example:{server.port}/mixed.jpg").kind == "refused"
            )

    def test_a_name_under_allow_may_lead_anywhere(self, server):
        url = f"http://public.example:{server.port}/"
        with self.fetcher("127.0.0.1", allow=(url,)) as fetcher:
            assert fetcher.fetch(url + "a.jpg") == BODY

    def test_the_connection_goes_to_the_address_that_was_checked(self, server, monkeypatch):
        """A name that is public when asked first and private when asked again gains nothing."""
        connected = []

        async def record(*, addr_infos, **_):
            connected.extend(info[4][0] for info in addr_infos)
            raise OSError(111, "Connection refused")

        monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", record)
        with self.fetcher("8.8.8.8", "127.0.0.1", in_turn=True) as fetcher:
            assert (
                failure(fetcher, f"http://public.example:{server.port}/rebind.jpg").kind
                == "storage"
            )
            assert failure(fetcher, f"http://public.example:{server.port}/rebind.jpg").kind in (
                "storage",
                "refused",
            )
        assert set(connected) == {"8.8.8.8"}
        assert server.hits["/rebind.jpg"] == 0

    def test_no_socket_is_made_for_a_private_address_even_if_the_policy_errs(
        self, server, monkeypatch
    ):
        monkeypatch.setattr(ReadPolicy, "check", lambda self, uri: uri)
        with Fetcher(ReadPolicy(""), attempts=1) as fetcher:
            assert failure(fetcher, server.url("/literal.jpg")).kind == "refused"
        assert server.hits["/literal.jpg"] == 0

    def test_odd_spellings_of_loopback_are_refused(self, server):
        with Fetcher(ReadPolicy(""), attempts=1) as fetcher:
            for host in ("127.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]"):
                assert failure(fetcher, f"http://{host}:{server.port}/odd.jpg").kind == "refused"
        assert server.hits["/odd.jpg"] == 0

    def test_an_unknown_name_is_not_found(self):
        class Nowhere(FixedResolver):
            async def resolve(self, *_, **__):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with Fetcher(ReadPolicy(""), attempts=2, backoff_s=0.01, resolver=Nowhere) as fetcher:
            error = failure(fetcher, "http://gone.example/a.jpg")
        assert (error.kind, error.attempts) == ("not_found", 2)


class TestRedirects:
    def test_they_are_followed(self, server, fetcher, path):
        assert fetcher.fetch(server.url(f"/from{path}?to={path}")) == BODY

    def test_each_one_is_checked(self, server, path):
        url = server.url("/allowed/hop?to=" + path)
        with Fetcher(ReadPolicy("", allow=(server.url("/allowed/"),)), attempts=1) as fetcher:
            error = failure(fetcher, url)
        assert error.kind == "refused"
        assert "/allowed/hop?… redirects" in error.message
        assert server.hits[path] == 0

    @pytest.mark.parametrize(
        "to", ["http://169.254.169.254/latest", "http://[::1]/", "http://localhost/"]
    )
    def test_one_to_a_private_address_is_refused(self, server, fetcher, path, to):
        assert failure(fetcher, server.url(f"{path}?to={to}")).kind == "refused"

    @pytest.mark.parametrize(
        "to", ["file:///etc/passwd", "s3://bucket/key", "data:text/plain,hi", "http://", ""]
    )
    def test_one_to_something_else_than_http_is_refused(self, server, to, path):
        with Fetcher(
            ReadPolicy("", allow=(server.url("/"), "/etc", "s3://")), attempts=1
        ) as fetcher:
            assert failure(fetcher, server.url(f"{path}?to={to}")).kind in ("refused", "bad_row")

    def test_a_circle_is_refused(self, server, fetcher, path):
        error = failure(fetcher, server.url(f"{path}?circle=1"))
        assert error.kind == "refused"
        assert server.hits[path] > 5


class TestLocalFiles:
    @pytest.fixture
    def local(self, tmp_path):
        with Fetcher(
            ReadPolicy(str(tmp_path)), max_bytes=100, attempts=2, backoff_s=0.01
        ) as fetcher:
            yield fetcher

    def test_a_file_is_read(self, local, tmp_path):
        (tmp_path / "a b#1.jpg").write_bytes(b"picture")
        assert local.fetch("a b#1.jpg") == b"picture"

    def test_a_missing_file_is_not_found(self, local, tmp_path):
        assert failure(local, "gone.jpg").kind == "not_found"

    def test_a_file_over_the_cap_is_too_large(self, local, tmp_path):
        (tmp_path / "big").write_bytes(bytes(101))
        assert failure(local, "big").kind == "too_large"

    def test_what_is_no_file_is_unsupported_and_does_not_hang(self, local, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        assert failure(local, "pipe").kind == "unsupported"
        assert failure(local, "folder").kind == "unsupported"

    def test_one_outside_the_folder_is_refused(self, local):
        assert failure(local, "../../etc/passwd").kind == "refused"

    def test_a_name_too_long_is_one_error(self, local):
        assert failure(local, "a" * 5000).kind == "storage"


class TestDataUris:
    @pytest.fixture
    def fetcher(self):
        with Fetcher(ReadPolicy(""), max_bytes=8) as running:
            yield running

    def test_they_carry_their_bytes(self, fetcher):
        assert fetcher.fetch("data:image/png;base64,aGFsbG8=") == b"hallo"
        assert fetcher.fetch("data:,a%20b") == b"a b"

    @pytest.mark.parametrize(
        "text", ["aGFsbG8", "aGFs\nbG8=", " aGFsbG8 ", "aGFsbG8%3D", "aGFs%0AbG8"]
    )
    def test_base64_as_browsers_read_it(self, fetcher, text):
        assert fetcher.fetch(f"data:image/png;base64,{text}") == b"hallo"

    @pytest.mark.parametrize(
        "head", [";base64", ";BASE64", "; base64", ";base64 ", "image/png;charset=utf-8; base64"]
    )
    def test_the_word_base64_as_browsers_read_it(self, fetcher, head):
        assert fetcher.fetch(f"data:{head},aGFsbG8=") == b"hallo"

    def test_base64_in_the_alphabet_of_addresses(self, fetcher):
        assert (
            fetcher.fetch("data:;base64,_-8=") == fetcher.fetch("data:;base64,/+8=") == b"\xff\xef"
        )

    @pytest.mark.parametrize(
        ("uri", "kind"),
        [
            ("data:x;base64,aGFs!bG8", "corrupt"),
            ("data:x;base64,aGFsb", "corrupt"),
            ("data:x", "bad_row"),
            ("data:,123456789", "too_large"),
        ],
    )
    def test_what_is_wrong_with_them(self, fetcher, uri, kind):
        assert failure(fetcher, uri).kind == kind


class TestS3:
    @pytest.fixture(scope="class")
    def endpoint(self):
        with object_store() as environment:
            yield environment["AWS_ENDPOINT_URL"]

    @pytest.fixture
    def store(self, endpoint, monkeypatch):
        """A client for the test's own use; the environment is set for the code under test."""
        import boto3

        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="own")
        client.put_object(Bucket="own", Key="set/ä b?#.jpg", Body=BODY)
        return client

    def test_objects_are_read(self, store):
        with Fetcher(ReadPolicy("s3://own/set")) as fetcher:
            assert fetcher.fetch("ä b?#.jpg") == BODY
            assert fetcher.fetch("s3://own/set/ä b?#.jpg") == BODY

    def test_a_missing_object_or_bucket_is_not_found(self, store):
        with Fetcher(ReadPolicy("s3://own/", allow=("s3://",))) as fetcher:
            assert failure(fetcher, "s3://own/gone").kind == "not_found"
            assert failure(fetcher, "s3://nobucket/gone").kind == "not_found"

    def test_an_object_over_the_cap_is_too_large(self, store):
        with Fetcher(ReadPolicy("s3://own/"), max_bytes=100) as fetcher:
            assert failure(fetcher, "set/ä b?#.jpg").kind == "too_large"

    def test_a_bucket_without_object_is_a_bad_row(self, store):
        with Fetcher(ReadPolicy("s3://own/")) as fetcher:
            assert failure(fetcher, "s3://own/").kind == "bad_row"
            assert failure(fetcher, "s3://own").kind == "bad_row"

    def test_another_bucket_is_refused(self, store):
        with Fetcher(ReadPolicy("s3://own/")) as fetcher:
            assert failure(fetcher, "s3://other/a").kind == "refused"

    def test_a_store_that_answers_503_is_tried_again(self, server, path, store, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url())
        server.fail_next = 2
        with Fetcher(ReadPolicy("s3://own/"), backoff_s=0.01, outage_s=30, attempts=1) as fetcher:
            assert fetcher.fetch(f"s3://own{path}") == BODY
        assert server.hits[f"/own{path}"] == 3

    def test_a_store_that_stays_down_is_given_up_after_the_outage(
        self, server, path, store, monkeypatch
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url())
        with Fetcher(ReadPolicy("s3://own/"), backoff_s=0.01, outage_s=0.5, attempts=2) as fetcher:
            fetcher.fetch(f"s3://own{path}.warm")  # making the first client takes a while
            server.fail_next = 1000
            error = failure(fetcher, f"s3://own{path}")
        server.fail_next = 0
        assert error.kind == "storage"
        assert error.retriable
        assert error.attempts == server.hits[f"/own{path}"] > 2

    def test_without_credentials_the_message_names_the_variables(self, store, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        with Fetcher(ReadPolicy("s3://own/")) as fetcher:
            error = failure(fetcher, "s3://own/a")
        assert error.kind == "storage"
        assert "AWS_ACCESS_KEY_ID" in error.message


class TestMany:
    def test_results_stand_in_order_with_errors_among_them(self, server, fetcher, path):
        uris = [server.url(path), server.url(f"{path}.gone?status=404"), "", server.url(path + "2")]
        first, second, third, fourth = fetcher.fetch_many(uris)
        assert first == fourth == BODY
        assert (second.kind, third.kind) == ("not_found", "bad_row")

    def test_a_slow_one_does_not_hold_up_the_others(self, server, path):
        with make_fetcher(server, concurrency=2) as fetcher:
            uris = [server.url(f"{path}.{n}" + ("?delay=0.5" if n == 0 else "")) for n in range(8)]
            order = [index for index, _ in fetcher.stream(uris)]
        assert sorted(order) == list(range(8))
        assert order[0] != 0

    def test_one_that_waits_for_its_next_attempt_leaves_its_place_to_others(self, server, path):
        with make_fetcher(server, concurrency=1, backoff_s=1.0) as fetcher:
            uris = [server.url(f"{path}?status=503&times=1"), server.url(path + ".next")]
            order = [index for index, body in fetcher.stream(uris) if body == BODY]
        assert order == [1, 0]

    def test_no_more_than_concurrency_are_open_at_once(self, path):
        with FaultyServer() as server, make_fetcher(server, concurrency=5) as fetcher:
            bodies = fetcher.fetch_many(server.url(f"{path}.{n}?delay=0.02") for n in range(40))
            assert bodies == [BODY] * 40
            assert server.most_at_once == 5

    def test_the_source_is_drawn_on_only_as_results_are_taken(self, server, path):
        drawn = itertools.count()
        with make_fetcher(server, concurrency=4) as fetcher:
            stream = fetcher.stream(server.url(f"{path}.{next(drawn)}") for _ in range(1000))
            for _ in range(10):
                next(stream)
            stream.close()
        assert next(drawn) <= 10 + 2 * 4

    def test_a_fetcher_is_pickled_before_and_after_use(self, server, fetcher, path):
        fetcher.fetch(server.url(path))
        with pickle.loads(pickle.dumps(fetcher)) as copy:
            assert copy.fetch(server.url(path)) == BODY
            assert copy.policy == fetcher.policy

    def test_it_can_be_used_again_after_it_was_closed(self, server, fetcher, path):
        fetcher.fetch(server.url(path))
        fetcher.close()
        assert fetcher.fetch(server.url(path)) == BODY
