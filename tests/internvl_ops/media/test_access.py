"""What a job may read, and what the person is told who may not."""

import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.addresses import is_public, literal_address
from internvl_ops.stores.redaction import safe_text, safe_uri, without_credentials


def refused(policy: ReadPolicy, uri: str) -> str:
    with pytest.raises(UnitError) as caught:
        policy.check(uri)
    assert caught.value.kind == "refused"
    assert caught.value.stage == "fetch"
    return caught.value.message


class TestLocalFiles:
    @pytest.mark.parametrize("base", ["/", "//", "/.", "file:///"])
    def test_a_manifest_in_the_root_folder_does_not_open_the_whole_machine(self, folder, base):
        assert "`allow`=/etc/" in refused(ReadPolicy(base), "/etc/passwd")
        assert "lies in the root folder" in refused(ReadPolicy(base), "proc/self/environ")
        picture = str(folder / "images/a.jpg")
        assert ReadPolicy(base, (str(folder),)).check(picture) == picture

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "set" / "images").mkdir(parents=True)
        (tmp_path / "set" / "images" / "a.jpg").write_bytes(b"a")
        (tmp_path / "settings.txt").write_bytes(b"secret")
        return tmp_path / "set"

    def test_relative_paths_are_relative_to_the_manifests_folder(self, folder):
        assert ReadPolicy(str(folder)).check("images/a.jpg") == str(folder / "images" / "a.jpg")

    def test_absolute_paths_and_file_uris_under_the_folder_are_read(self, folder):
        policy = ReadPolicy(str(folder))
        assert policy.check(str(folder / "images/a.jpg")) == str(folder / "images/a.jpg")
        assert policy.check(f"file://{folder}/images/%61.jpg") == str(folder / "images/a.jpg")
        # as Java writes it
        assert policy.check(f"file:{folder}/images/a.jpg") == str(folder / "images/a.jpg")
        assert policy.is_local(f"FILE:{folder}/images/a.jpg")

    @pytest.mark.parametrize(
        "uri",
        [
            "../settings.txt",
            "images/../../settings.txt",
            "/etc/passwd",
            "file:///etc/passwd",
            "file:/etc/passwd",
        ],
    )
    def test_what_lies_elsewhere_is_refused(self, folder, uri):
        assert "`allow`=" in refused(ReadPolicy(str(folder)), uri)

    def test_a_sibling_whose_name_begins_alike_is_elsewhere(self, folder):
        refused(ReadPolicy(str(folder)), str(folder) + "tings.txt")

    def test_symlinks_do_not_lead_out(self, folder):
        (folder / "link.jpg").symlink_to(folder.parent / "settings.txt")
        (folder / "out").symlink_to(folder.parent)
        refused(ReadPolicy(str(folder)), "link.jpg")
        refused(ReadPolicy(str(folder)), "out/settings.txt")

    def test_symlinks_within_the_folder_are_followed(self, folder):
        (folder / "link.jpg").symlink_to(folder / "images" / "a.jpg")
        assert ReadPolicy(str(folder)).check("link.jpg") == str(folder / "images" / "a.jpg")

    def test_the_folder_itself_may_be_a_symlink(self, folder, tmp_path):
        (tmp_path / "latest").symlink_to(folder)
        assert ReadPolicy(str(tmp_path / "latest")).check("images/a.jpg") == str(
            folder / "images" / "a.jpg"
        )

    def test_the_base_is_fixed_where_the_job_starts(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        policy = ReadPolicy("set", allow=("images",))
        monkeypatch.chdir("/")
        assert policy.check("images/a.jpg") == str(folder / "images" / "a.jpg")
        assert policy.allow == (str(folder.parent / "images"),)

    @given(st.lists(st.sampled_from(["..", ".", "a", "set", "images", "", "//"]), max_size=8))
    def test_no_spelling_of_a_path_leads_out(self, parts):
        policy = ReadPolicy("/srv/set")
        try:
            path = policy.check("/".join(["a", *parts]))
        except UnitError:
            return
        assert os.path.realpath(path) == "/srv/set" or os.path.realpath(path).startswith(
            "/srv/set/"
        )


class TestBuckets:
    policy = ReadPolicy("s3://own/manifests/2026")

    @pytest.mark.parametrize(
        ("uri", "normal"),
        [
            ("a.jpg", "s3://own/manifests/2026/a.jpg"),
            ("../../images/a.jpg", "s3://own/images/a.jpg"),
            ("s3://own/anything/else?x#y.jpg", "s3://own/anything/else?x#y.jpg"),
            ("s3a://own/k", "s3://own/k"),
            ("s3://key:secret@own/k", "s3://own/k"),
        ],
    )
    def test_the_manifests_own_bucket_is_read(self, uri, normal):
        assert self.policy.check(uri) == normal

    def test_another_bucket_is_refused_and_the_option_named(self):
        message = refused(self.policy, "s3://other/a.jpg")
        assert message.endswith(f"add {keyword('allow', 's3://other/')}")
        assert "s3://own" in message

    @pytest.mark.parametrize(
        ("base", "own", "other"),
        [
            ("gs://own/m", "gs://own/b", "s3://own/b"),
            ("az://own/m", "abfs://own/b", "az://other/b"),
            ("hf://datasets/o/n@v2/m", "hf://datasets/o/n/b", "hf://datasets/o/other/b"),
        ],
    )
    def test_so_it_is_in_every_store(self, base, own, other):
        assert ReadPolicy(base).check(own)
        refused(ReadPolicy(base), other)

    def test_climbing_out_of_the_bucket_is_refused(self):
        refused(self.policy, "../../../other/a.jpg")
        refused(self.policy, "s3://own/../other/a.jpg")

    def test_local_files_are_not_read_for_a_manifest_in_a_bucket(self):
        assert "`allow`=/etc/" in refused(self.policy, "/etc/passwd")


class TestPrefixes:
    @pytest.mark.parametrize(
        ("prefix", "inside", "outside"),
        [
            ("s3://buck", "s3://buck/a", "s3://bucket2/a"),
            ("s3://buck/set", "s3://buck/set/a", "s3://buck/settings/a"),
            ("s3://buck/set/", "s3://buck/set/a", "s3://buck/set/../other"),
            ("/data", "/data/a", "/database/a"),
            ("/data", "/data/a", "/data/../etc/passwd"),
            ("http://10.0.0.5:9000/", "http://10.0.0.5:9000/a", "http://10.0.0.5:9001/a"),
            ("http://10.0.0.5", "http://10.0.0.5/a", "http://10.0.0.50/a"),
            ("http://10.0.0.5/pub", "http://10.0.0.5/pub/a", "http://10.0.0.5/public/a"),
            ("http://10.0.0.5/pub/", "http://10.0.0.5/pub/a?q=1", "http://10.0.0.5/pub/../b"),
            ("http://10.0.0.5/pub/", "http://10.0.0.5/pub/a", "http://10.0.0.5/pub/%2e%2e/b"),
            ("http://10.0.0.5/pub/", "http://10.0.0.5/pub/a", "http://10.0.0.5/pub/..%2fb"),
            ("http://localhost/", "http://LOCALHOST/a", "http://localhost.evil.internal/"),
            ("http://localhost/", "http://u:p@localhost/a", "http://localhost@10.0.0.1/"),
            ("s3://", "s3://any/a", "/any/a"),
            ("gs://buck/set", "gcs://buck/set/a", "s3://buck/set/a"),
            ("az://", "abfs://any/a", "gs://any/a"),
            (
                "az://c@one.dfs.core.windows.net/",
                "abfss://c@one.dfs.core.windows.net/a",
                "az://c@two.dfs.core.windows.net/a",
            ),
            ("oss://buck/set/", "oss://buck/set/a", "oss://buck/set/../other"),
            ("hf://datasets/o/n", "hf://datasets/o/n/a", "hf://models/o/n/a"),
            ("hf://o/n", "hf://models/o/n/a", "hf://o/other/a"),
            ("http://", "http://10.0.0.5/a", "https://10.0.0.5/a"),
        ],
    )
    def test_a_prefix_ends_at_a_boundary(self, prefix, inside, outside):
        policy = ReadPolicy("/srv/set", allow=(prefix,))
        assert policy.check(inside)
        refused(policy, outside)

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://other/k/a.jpg",
            "/mnt/pictures/a.jpg",
            "http://10.0.0.5:81/x/a.jpg",
            "gs://o/k",
            "hf://datasets/o/n@v1/k",
        ],
    )
    def test_the_option_in_the_message_mends_it(self, uri):
        option = refused(ReadPolicy("/srv/set"), uri).rpartition("`allow`=")[2]
        assert ReadPolicy("/srv/set", allow=(option,)).check(uri) == uri

    @pytest.mark.parametrize("prefix", ["", "ftp://bucket/", "s3:///key", "hf://datasets/a"])
    def test_an_impossible_prefix_is_a_configuration_error(self, prefix):
        with pytest.raises(ConfigurationError, match="`allow`"):
            ReadPolicy("/srv/set", allow=(prefix,))


class TestAddresses:
    @pytest.mark.parametrize(
        "uri", ["https://example.com/a.jpg", "http://8.8.8.8/a", "http://[2606:4700::1111]:8080/a"]
    )
    def test_public_addresses_are_read(self, uri):
        assert ReadPolicy("/srv/set").check(uri) == uri

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "10.0.0.1",
            "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
            "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1", "255.255.255.255",
            "198.18.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001:0:1::1]",
            "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]",
            "[fd00:ec2::254]", "localhost", "LOCALHOST.", "x.localhost", "metadata.google.internal",
            "printer.local", "①②⑦.0.0.1",
        ],
    )  # fmt: skip
    def test_private_addresses_are_refused_in_every_spelling(self, host):
        refused(ReadPolicy("/srv/set"), f"http://{host}/latest/meta-data")

    def test_a_mapped_public_address_is_public(self):
        assert is_public("::ffff:8.8.8.8")
        assert is_public("64:ff9b::808:808")

    @given(st.integers(0, 2**32 - 1))
    def test_decimal_addresses_are_read_as_resolvers_read_them(self, number):
        dotted = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
        assert literal_address(str(number)) == dotted
        assert literal_address(hex(number)) == dotted

    def test_a_name_is_no_literal(self):
        assert literal_address("example.com") is None

    def test_a_signed_url_is_sent_as_it_was_written(self):
        uri = "https://example.com/a%20b.jpg?X-Amz-Credential=k%2F2026&X-Amz-Signature=a%2Bb+c"
        assert ReadPolicy("").check(uri) == uri

    def test_blanks_and_letters_outside_ascii_are_quoted(self):
        assert (
            ReadPolicy("").check("https://example.com/ä b.jpg")
            == "https://example.com/%C3%A4%20b.jpg"
        )


class TestRowsThatAreNoUri:
    @pytest.mark.parametrize(
        "uri", ["", "  ", "a\0b", "http://", "http://host:port/", "s3://", None, 7]
    )
    def test_they_are_bad_rows(self, uri):
        with pytest.raises(UnitError) as caught:
            ReadPolicy("/srv/set").check(uri)
        assert caught.value.kind == "bad_row"

    def test_a_relative_path_without_a_folder_is_a_bad_row(self):
        with pytest.raises(UnitError, match="relative"):
            ReadPolicy("").check("a.jpg")

    def test_an_unknown_scheme_is_unsupported_and_the_known_ones_named(self):
        with pytest.raises(UnitError, match="s3, http, https") as caught:
            ReadPolicy("/srv/set").check("ftp://bucket/a.jpg")
        assert caught.value.kind == "unsupported"


class TestExplain:
    def test_nothing_to_say_when_all_may_be_read(self):
        assert (
            ReadPolicy("s3://own/m").explain(["a.jpg", "s3://own/b", "https://8.8.8.8/c"]) is None
        )

    def test_one_message_names_every_missing_option_once(self):
        uris = [
            "a.jpg",
            "s3://two/a",
            "s3://two/b",
            "s3://three/c",
            "http://10.0.0.1/d",
            "http://u:pw@10.0.0.1/e",
        ]
        message = ReadPolicy("s3://own/m").explain(uris)
        assert message.startswith("5 of 6 sampled URIs")
        assert message.endswith(
            " ".join(
                [
                    "add",
                    *(
                        keyword("allow", one)
                        for one in ("s3://two/", "s3://three/", "http://10.0.0.1/")
                    ),
                ]
            )
        )
        assert "pw" not in message

    def test_many_folders_become_their_common_one(self):
        message = ReadPolicy("s3://own/m").explain([f"/mnt/set/{n}/a.jpg" for n in range(9)])
        assert message.endswith(f"add {keyword('allow', '/mnt/set/')}")

    def test_names_that_lead_to_private_addresses_are_found_by_asking(self, monkeypatch):
        answers = {"inside.example.com": "10.1.2.3", "outside.example.com": "8.8.8.8"}
        monkeypatch.setattr(
            "socket.getaddrinfo", lambda host, *_, **__: [(0, 0, 0, "", (answers[host], 0))]
        )
        message = ReadPolicy("/srv").explain([f"https://{host}/a" for host in answers])
        assert message.endswith(f"add {keyword('allow', 'https://inside.example.com/')}")

    def test_bad_rows_are_left_to_become_errors(self):
        assert ReadPolicy("/srv").explain(["", "ftp://x/y", "http://host:port/"]) is None


class TestSafeUri:
    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("https://user:pw@host/a.jpg?X-Amz-Signature=s3cr3t#f", "https://host/a.jpg?…"),
            ("https://host?token=s3cr3t", "https://host?…"),
            ("https://us@er:pw@host/a@b.jpg", "https://host/a@b.jpg"),
            ("s3://key:s3cr3t@bucket/a", "s3://bucket/a"),
            ("s3://key:s3cr/3t@bucket/a", "s3://bucket/a"),
            ("s3://key:s3cr3t/a", "s3://…/a"),
            ("s3://bucket/a?b.jpg", "s3://bucket/a?b.jpg"),
            ("/data/a b.jpg", "/data/a b.jpg"),
            ("data:image/png;base64,aGFsbG8=", "data:image/png;base64,… (30 characters)"),
            ("/data/a\nb\x1b[31m", "/data/a�b�[31m"),
        ],
    )
    def test_secrets_and_control_characters_are_left_out(self, uri, shown):
        assert safe_uri(uri) == shown

    def test_long_ones_are_cut(self):
        assert len(safe_uri("/" + "a" * 5000)) < 400


def test_a_policy_travels_to_the_workers():
    policy = ReadPolicy("s3://own/m", allow=("/data", "https://10.0.0.1/"))
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://me:s3cr3t@host/a.jpg?id=5", "https://host/a.jpg?id=5"),
        (
            "https://h/a.jpg?id=5&X-Amz-Signature=s3cr3t&w=2",
            "https://h/a.jpg?id=5&X-Amz-Signature=…&w=2",
        ),
        ("https://h/a.jpg?sig=s3cr%2F3t", "https://h/a.jpg?sig=…"),
        ("s3://key:s3cr3t@bucket/a b@2x.jpg", "s3://bucket/a b@2x.jpg"),
        ("photos/a:b@c.jpg?sig=1", "photos/a:b@c.jpg?sig=1"),
    ],
)
def test_an_address_is_kept_without_what_opens_it(uri, kept):
    assert without_credentials(uri) == kept == without_credentials(kept)


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("cannot read 'https://me:pw@host/a?sig=1'.", "cannot read 'https://host/a?…'."),
            ("s3://key:secret@bucket/a?.jpg and ftp://u:p@h", "s3://bucket/a?.jpg and ftp://h"),
            ("at http://me:p'w@host/a", "at http://host/a"),
            ("no URI: a/b, 12:30, C:\\x", "no URI: a/b, 12:30, C:\\x"),
        ],
    )
    def test_every_uri_in_one_loses_its_credentials(self, text, shown):
        assert safe_text(text) == shown
        assert safe_text(shown) == shown
