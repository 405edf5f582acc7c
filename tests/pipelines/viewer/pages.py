"""The page in a real Chromium, for the tests of what a person sees, types and hears."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.output.folder import OutputFolder
from pipelines.output.reviews import read_reviews
from pipelines.viewer.outputs import ViewedOutput
from pipelines.viewer.server import Viewer
from testing.browser import chromium, serving
from tests.pipelines.viewer.conftest import TOKEN

IN_CHROMIUM = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium() is None or importlib.util.find_spec("playwright") is None,
        reason="needs a Chromium (or CHROMIUM=path) and Playwright",
    ),
]
Open = Callable[..., Any]


@contextmanager
def pages(chrome: Any) -> Iterator[Open]:
    """Opens pages over outputs; at the end no request may have left this machine and no script may
    have failed."""
    with ExitStack() as stack:
        requests: list[str] = []
        problems: list[str] = []

        def open_page(
            *outputs: Path, width: int = 1300, scheme: str = "light", at: str = ""
        ) -> Any:
            viewer = Viewer([ViewedOutput(str(path)) for path in outputs], "anna")
            stack.callback(viewer.close)
            port = stack.enter_context(serving(lambda port: viewer.app(TOKEN, port)))
            context = chrome.new_context(
                viewport={"width": width, "height": 850}, color_scheme=scheme
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.on("request", lambda request: requests.append(request.url))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on(
                "console",
                lambda said: (
                    problems.append(said.text) if "Content Security" in said.text else None
                ),
            )
            page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
            if at:
                page.goto("about:blank")  # else only what follows the "#" would change
                page.goto(f"http://127.0.0.1:{port}/{at}")
            page.locator("main > *").first.wait_for()
            return page

        yield open_page
        assert problems == []
        assert {urlsplit(url).hostname for url in requests} == {"127.0.0.1"}


def ids(page: Any) -> list[str]:
    return page.locator("#list a[data-id]").evaluate_all(
        "links => links.map(link => link.dataset.id)"
    )


def expect_ids(page: Any, expected: list[str]) -> None:
    """Waits until these units are listed."""
    listed = "[...document.querySelectorAll('#list a[data-id]')].map((link) => link.dataset.id)"
    page.wait_for_function(
        f"(expected) => JSON.stringify({listed}) === JSON.stringify(expected)", arg=expected
    )


def said(page: Any, text: str) -> None:
    """Waits until this was said in the live region."""
    page.locator("#status", has_text=re.compile(f"^{re.escape(text)}$")).wait_for()


def reviews(folder: Path) -> dict[str, tuple[Any, ...]]:
    rows = read_reviews(OutputFolder(str(folder))).to_pylist()
    return {row["id"]: (row["review"], row["review_text"], row["review_note"]) for row in rows}
