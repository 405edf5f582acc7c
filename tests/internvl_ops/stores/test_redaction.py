"""Nothing that opens a door is ever shown: passwords, signatures, tokens, keys, headers."""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.stores.redaction import safe_text, safe_uri, without_credentials
from pipelines.ledger.ledger import Ledger
from pipelines.options.job_options import JobOptions
from pipelines.options.safe_options import safe_options
from pipelines.output.folder import ERRORS, OutputFolder
from pipelines.output.result_columns import result_schema
from pipelines.output.writer import Writer
from pipelines.sources.media_column import to_media
from pipelines.wiring.engines import engine_maker
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table

SECRET = "hUnTeR2sEcReT"
_numbers = itertools.count()
WORDS = st.text(string.ascii_letters + string.digits, max_size=6)
PARAMETERS = st.sampled_from(
    [
        *(
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "x-goog-signature",
            "X-Oss-Signature",
        ),
        *(
            "Signature",
            "AWSAccessKeyId",
            "Key-Pair-Id",
            "Policy",
            "sig",
            "token",
            "access_token",
            "id_token",
        ),
        *(
            "key",
            "api_key",
            "apikey",
            "API-KEY",
            "auth",
            "password",
            "client_secret",
            "jwt",
            "hdnts",
            "sas_token",
        ),
        *(
            "auth_key",
            "rlkey",
            "q-ak",
            "subscription-key",
            "private_key",
            "jsessionid",
            "SAMLResponse",
        ),
    ]
)
# What people put into passwords; blanks end an address everywhere.
PASSWORDS = st.builds(
    lambda before, after: f"{before}{SECRET}{after}",
    st.text("abcXYZ!$&*+,;=:~%._-", max_size=4),
    st.text("abcXYZ019!$&*+,;=:~%._-/?#@", max_size=4),
)
USERS = st.builds("u{}".format, WORDS)
HOSTS = st.sampled_from(
    ["example.org", "example.org:8443", "127.0.0.1", "[::1]:9000", "bücher.example"]
)
PATHS = st.sampled_from(
    ["", "/", "/a.jpg", "/a b.jpg", "/a@2x.jpg", "/(1)[2]{3}.jpg", "/web/https://other.org/x"]
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """An address that carries the secret as a password, or in its query, or both."""
    where = draw(st.sampled_from(["user", "query", "both"]))
    user = f"{draw(USERS)}:{draw(PASSWORDS)}@" if where != "query" else ""
    scheme = draw(st.sampled_from(["http", "https", "HTTPS", "ftp"]))
    address = f"{scheme}://{user}{draw(HOSTS)}{draw(PATHS)}"
    if where != "user":
        mark = draw(st.sampled_from(["?", "?id=5&", "?a=b;", "#"]))
        address += f"{mark}{draw(PARAMETERS)}={SECRET}{draw(st.sampled_from(['', '&w=2', '#top']))}"
    return address


class TestAddresses:
    @given(uri=addresses())
    def test_shown_alone(self, uri: str) -> None:
        assert SECRET not in safe_uri(uri)
        assert SECRET not in without_credentials(uri)
        assert safe_uri(safe_uri(uri)) == safe_uri(uri)

    @given(
        uri=addresses().filter(lambda uri: " " not in uri),
        left=st.sampled_from(["", "'", '"', "(", "at ", "a,"]),
    )
    def test_shown_in_a_text(self, uri: str, left: str) -> None:
        text = f"cannot read {left}{uri}{left.strip(' a,(')}: no answer"
        assert SECRET not in safe_text(text)
        assert "no answer" in safe_text(text)

    @given(key=USERS, secret=PASSWORDS, scheme=st.sampled_from(["s3", "s3a", "s3n"]))
    def test_of_stores(self, key: str, secret: str, scheme: str) -> None:
        uri = f"{scheme}://{key}:{secret}@bucket/a.jpg"
        assert SECRET not in safe_uri(uri) + without_credentials(uri) + safe_text(f"no {uri} there")

    @example(user="u", password=f";{SECRET}=", host="example.org")
    @given(user=USERS, password=PASSWORDS, host=HOSTS)
    def test_without_a_scheme(self, user: str, password: str, host: str) -> None:
        assert SECRET not in safe_uri(f"{user}:{password}@{host}/v1")

    @pytest.mark.parametrize("password", [f";{SECRET}=", f"?{SECRET}_token=", f"&sig={SECRET}"])
    def test_a_password_that_looks_like_a_signature(self, password: str) -> None:
        assert SECRET not in safe_text(f"no answer of u:{password}@example.org/v1")

    @given(uri=addresses())
    def test_in_what_a_policy_says(self, uri: str) -> None:
        policy = ReadPolicy("/srv/set", ("https://10.0.0.1/",))
        said = []
        for asked in (
            uri,
            uri.replace("example.org", "10.0.0.2"),
            uri.replace("http", "gopher", 1),
        ):
            try:
                policy.check(asked)
            except UnitError as error:
                said.append(str(error))
            said.append(policy.explain([asked], resolve=False) or "")
        assert SECRET not in "".join(said)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"'authorization': 'Basic {SECRET}'",
        f"Proxy-Authorization: Basic {SECRET}",
        f"X-Api-Key: {SECRET}",
        f"Cookie: a=b; session={SECRET}",
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host,"
            f" Signature={SECRET}"
        ),
        f"the server says: wrong token Bearer {SECRET}",
        f"cannot connect to me:{SECRET}@host:80",
    ],
)
def test_headers_in_a_text(text: str) -> None:
    assert SECRET not in safe_text(text)


@pytest.mark.parametrize(
    "uri",
    [
        f"//u:{SECRET}@h/a.jpg",
        f"https://h/a.jpg?to=https://u:{SECRET}@other/",
        f"https://h/a.jpg?url=https%3A%2F%2Fo%2Fb%3Fa%3D1%26sig%3D{SECRET}%2Fx&w=5",
        f"https://h/a.jpg?oh={SECRET * 3}&w=5",
    ],
)
def test_addresses_in_results(uri: str) -> None:
    """They still name their file, but open no door; what is no secret stays."""
    shown = without_credentials(uri)
    assert SECRET not in shown
    assert SECRET not in safe_uri(uri)
    assert shown.partition("?")[0].endswith("h/a.jpg")
    assert shown.endswith("&w=5") == uri.endswith("&w=5")


@pytest.mark.parametrize(
    "uri", ["https://h/a.jpg?oh=5&st=2&code=17&monkey=1&keyword=x", "a:b@2x.jpg", "//h/a.jpg"]
)
def test_what_opens_no_door_stays_in_results(uri: str) -> None:
    assert without_credentials(uri) == uri


@pytest.mark.parametrize(
    "text",
    [
        f"Ocp-Apim-Subscription-Key: {SECRET}",
        f"{{'api-key': '{SECRET}'}}",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f'password = "{SECRET}"',
        f"Incorrect API key provided: sk-{SECRET}abcdefgh",
        f"Invalid user token hf_{SECRET}abcdefgh.",
    ],
)
def test_keys_in_the_words_of_servers(text: str) -> None:
    assert SECRET not in safe_text(text)


@pytest.mark.parametrize(
    "text", ["max_new_tokens=128000", "completion_tokens: 123456", "the key is wrong: no such user"]
)
def test_words_that_only_resemble_keys_stay(text: str) -> None:
    assert safe_text(text) == text


@settings(deadline=None)
@given(uri=addresses())
def test_the_record_of_a_run(uri: str) -> None:
    options = JobOptions.model_construct(
        input=uri,
        output=uri,
        model=uri,
        base_url=uri,
        allow=(uri,),
        prompt=f"See {uri.replace(' ', '')} first",
        http_header=(f"Authorization=Bearer {SECRET}",),
        engine_args={"hf_token": SECRET, "extra_body": {"api_key": SECRET, "at": uri}},
    )
    assert SECRET not in json.dumps(safe_options(options))


@pytest.mark.parametrize(
    "url",
    [
        f"me:{SECRET}@host",
        f"me:{SECRET}@host:80/v1",
        f"//me:a/{SECRET}@host/v1",
        f"me:a:{SECRET}@host/v1",
    ],
)
def test_a_server_without_scheme_is_refused_without_its_password(url: str) -> None:
    options = JobOptions(input="m.jsonl", output="out", model="m", engine="openai", base_url=url)
    with pytest.raises(ConfigurationError, match="http://HOST:PORT/v1") as caught:
        engine_maker(options, None, CAPTION, 0)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("link", ["http://", "https://a/", "x?http://", "s3://"])
def test_addresses_within_addresses_without_end_are_shown_without_what_opens_a_door(
    link: str,
) -> None:
    nested = link * 5_000 + f"https://me:{SECRET}@host/"
    for shown_ in (safe_uri(nested), safe_text(f"cannot read {nested}")):
        assert SECRET not in shown_


@pytest.mark.parametrize("text", ["x", "a:", "?x", "Bearer ", "a.", "http://h/x", "&a"])
def test_a_text_of_a_million_characters_is_shown_at_once(text: str) -> None:
    long = text * (1_000_000 // len(text))
    assert len(safe_uri(f"http://host/{long}")) < 400
    assert safe_text(long)


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(uris=st.lists(addresses(), min_size=1, max_size=20, unique=True))
def test_what_a_run_writes(tmp_path: Path, uris: list[str]) -> None:
    ledger, output = Ledger(), OutputFolder(str(tmp_path / str(next(_numbers))))
    ids = [str(number) for number in range(len(uris))]
    ledger.claim(ids, range(len(ids)))
    rows = [row(ids[n], kind="storage", message=f"cannot read {uri}") for n, uri in enumerate(uris)]
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    with Writer(output, ledger, schema, run_id="run", model="tiny") as writer:
        writer.add(table(rows))
    kept = to_media(pa.array(uris))[1]
    assert kept is not None
    written = [output.read_table(name).to_pylist() for name in output.files(ERRORS)]
    assert sum(map(len, written)) == len(uris)
    assert SECRET not in str(written) + str(writer.totals) + str(kept.to_pylist())
