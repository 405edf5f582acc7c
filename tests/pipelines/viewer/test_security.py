"""Only the viewer's own page, opened by a person who has the token, gets anything."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.pipelines.viewer.conftest import BASE, PORT, TOKEN, Client


@pytest.fixture
def stranger(looking: Client) -> TestClient:
    """A browser that was never given the token."""
    return TestClient(looking.viewer.app(TOKEN, PORT), base_url=BASE, follow_redirects=False)


PATHS = ("/", "/static/app.js", "/api/outputs", "/api/rows", "/picture?id=unit-000", "/nothing")


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_is_served(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert (answer.status_code, "unit-000" in answer.text) == (403, False)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\ud83d"])
def test_a_wrong_token_gets_no_cookie(stranger: TestClient, token: str) -> None:
    answer = stranger.get(
        "/", params={"token": token.encode("utf-8", "surrogatepass").decode("latin-1")}
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_token_becomes_a_cookie_and_leaves_the_address(stranger: TestClient) -> None:
    entry = stranger.get(f"/?token={TOKEN}")
    assert (entry.status_code, entry.headers["location"]) == (303, "/")
    assert "HttpOnly" in entry.headers["set-cookie"]
    assert "SameSite=strict" in entry.headers["set-cookie"]
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:4321"]
)
def test_a_name_that_was_made_to_resolve_to_this_machine_is_refused(
    looking: Client, host: str
) -> None:
    assert looking.http.get("/api/outputs", headers={"Host": host}).status_code == 403
    assert looking.http.get(f"/?token={TOKEN}", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_pages_cannot_ask_or_mark_with_the_cookie(
    looking: Client, headers: dict[str, str]
) -> None:
    assert looking.http.get("/api/rows", headers=headers).status_code == 403
    assert (
        looking.http.post(
            "/api/mark", json={"id": "unit-000", "mark": "bad"}, headers=headers
        ).status_code
        == 403
    )


def test_a_form_cannot_mark(looking: Client) -> None:
    answer = looking.http.post("/api/mark", data={"id": "unit-000", "mark": "bad"})
    assert answer.status_code == 415


def test_a_request_may_not_be_endless(looking: Client) -> None:
    answer = looking.http.post(
        "/api/mark", content=b" " * (33 << 20), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_scripts_and_addresses_of_others(looking: Client, path: str) -> None:
    headers = looking.http.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {
        "'self'"
    }
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py"]
)
def test_static_files_are_those_of_the_page_alone(looking: Client, path: str) -> None:
    assert looking.http.get(path).status_code == 404
