"""Scripts of version 0.1 import modules by their old names."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("documents", "write_documents"),
        ("writer", "Writer"),
        ("tasks", "TASKS"),
        ("tasks", "AskOptions"),
        ("tasks", "make_several"),
    ],
)
def test_an_old_module_name_has_what_it_had(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(f"pipelines.{module}"), name)
