"""Options of a call from Python: errors name keyword arguments, never flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import internvl_batch
from pipelines.library.keywords import in_keywords, options_from
from pipelines.options.tasks import job_options

ROOT = Path(__file__).parents[3]
NANO = str(ROOT / "examples/nano/checkpoint")
IMAGES = str(ROOT / "examples/demo/images")


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        ("--max-tiles 8 is above --min-tiles 2.", "max_tiles 8 is above min_tiles 2."),
        ("--no-retry-cut has no effect", "retry_cut=False has no effect"),
        (
            "Add CPUs (ray start --num-cpus N), or lower --engines.",
            "Add CPUs (ray start --num-cpus N), or lower engines.",
        ),
        ("a -- b, x--y and C--max-tiles stay", "a -- b, x--y and C--max-tiles stay"),
    ],
)
def test_flags_become_keywords(flags: str, keywords: str) -> None:
    assert in_keywords(flags) == keywords


def test_paths_and_lists_are_options_and_none_is_the_default() -> None:
    given = {
        "input": Path("in"),
        "output": Path("out"),
        "model": "m",
        "allow": [Path("/a")],
        "limit": None,
    }
    options = options_from(job_options("caption"), given)
    assert (options.input, options.output, options.allow, options.limit) == (
        "in",
        "out",
        ("/a",),
        None,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_tils": 3}, "Did you mean max_tiles?"),
        ({"style": "shrot"}, "Did you mean short?"),
        ({"min_tiles": 8, "max_tiles": 2}, "min_tiles 8 is above max_tiles 2"),
        ({"fps": 2}, "fps 2.0 is for videos"),
        ({"model": "no-such-model"}, "model no-such-model"),
    ],
)
def test_what_is_wrong_with_a_run_is_said_before_ray_starts(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(internvl_batch.ConfigurationError) as error:
        internvl_batch.caption(IMAGES, tmp_path / "out", **{"model": NANO, **given})
    assert said in str(error.value)
    assert "--" not in str(error.value)


def test_a_manifest_needs_an_output() -> None:
    with pytest.raises(internvl_batch.ConfigurationError, match="output=FOLDER is needed"):
        internvl_batch.caption(IMAGES, model=NANO)  # type: ignore[call-overload]


def test_rows_take_no_output(tmp_path: Path) -> None:
    with pytest.raises(internvl_batch.ConfigurationError, match="write_parquet"):
        internvl_batch.caption([{"image": "a.png"}], tmp_path, model=NANO)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["limit", "where", "max_error_rate", "ray_address"])
def test_options_of_a_run_are_refused_for_rows(name: str) -> None:
    with pytest.raises(
        internvl_batch.ConfigurationError, match=f"^{name} is for calls that read a manifest"
    ):
        internvl_batch.caption([{"image": "a.png"}], model=NANO, **{name: 1})
