"""Outputs to look at, and a client that asks the viewer's server in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipelines.viewer.outputs import Access, ViewedOutput
from pipelines.viewer.server import Viewer
from testing import viewed
from testing.browser import browser

TOKEN, PORT = "the-token", 4321
BASE = f"http://127.0.0.1:{PORT}"


class Client:
    """A person's browser with the page open."""

    def __init__(
        self, *outputs: Path | str, reviewer: str = "anna", access: Access | None = None
    ) -> None:
        self.viewer = Viewer(
            [ViewedOutput(str(path), access or Access()) for path in outputs], reviewer
        )
        self.http = TestClient(self.viewer.app(TOKEN, PORT), base_url=BASE, follow_redirects=False)
        self.http.get(f"/?token={TOKEN}")

    def get(self, path: str, status: int = 200, **query: object):
        answer = self.http.get(
            f"/api/{path}", params={name: str(value) for name, value in query.items()}
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, **body: object):
        answer = self.http.post(f"/api/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **query: object) -> list[str]:
        return [row["id"] for row in self.get("rows", **query)["rows"]]

    def close(self) -> None:
        self.viewer.close()


@pytest.fixture(scope="session")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of captions that no test marks."""
    return viewed.captions(tmp_path_factory.mktemp("looked-at"))


@pytest.fixture(scope="session")
def looking(captions: Path) -> Iterator[Client]:
    """A client of an output that no test marks."""
    client = Client(captions)
    yield client
    client.close()


@pytest.fixture
def marking(tmp_path: Path) -> Iterator[Client]:
    """A client of an output of its own, to mark."""
    client = Client(viewed.captions(tmp_path))
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An output of captions of the test's own."""
    return viewed.captions(tmp_path)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    """A real Chromium."""
    with browser() as started:
        yield started


@pytest.fixture
def opened(chrome: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages over outputs."""
    from tests.pipelines.viewer.pages import pages  # it imports from here

    with pages(chrome) as open_page:
        yield open_page
