"""A path that is not there is told what it may have been meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher


def message(folder: Path, uri: str) -> str:
    with Fetcher(ReadPolicy(str(folder))) as fetcher, pytest.raises(UnitError) as error:
        fetcher.fetch(uri)
    return error.value.message


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http:/host/a.jpg", "two slashes: http://host/a.jpg"),
        ("images/https:/host/a.jpg?sig=secret", "two slashes: https://host/a.jpg?…"),
        ("s3:/bucket/a.jpg", "two slashes: s3://bucket/a.jpg"),
        ("~/a.jpg", "write the whole path"),
        ("$HOME/a.jpg", "write the whole path"),
        ("${DATA}/a.jpg", "write the whole path"),
        ("C:\\images\\a.jpg", "write / between folders"),
        ("images\\old\\a.jpg", "write / between folders"),
        ('"a.jpg"', "leave out what is around it"),
        ("<http://host/a.jpg>", "leave out what is around it"),
        ("a.jpg,", "leave out what is around it"),
        ("www.example.org/a.jpg", "begins with https://"),
        ("a%20b.jpg", "in addresses only"),
    ],
)
def test_a_path_that_was_meant_otherwise(tmp_path: Path, uri: str, said: str) -> None:
    found = message(tmp_path, uri)
    assert "does not exist. " in found
    assert said in found
    assert "secret" not in found


@pytest.mark.parametrize("uri", ["a.jpg", "b/(1).jpg", "a b.jpg", "50%.jpg", "a:b/c.jpg", "x~/a"])
def test_other_paths_are_just_not_there(tmp_path: Path, uri: str) -> None:
    assert message(tmp_path, uri).endswith(f"{uri} does not exist")


def test_an_address_without_a_scheme(tmp_path: Path) -> None:
    """It is a path on this machine, and no option that allows it would help."""
    assert "write https://host/a.jpg" in message(tmp_path, "//host/a.jpg")
