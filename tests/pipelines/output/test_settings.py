"""An output holds answers of one kind: what would mix in another is refused, and what changes no
answer is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task, caption
from pipelines.ledger.ledger import Ledger
from pipelines.options.job_options import JobOptions
from pipelines.options.tasks.ask import AskOptions
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.result_columns import result_schema
from pipelines.output.settings import check_settings, metadata
from pipelines.output.settings import settings as settings_of
from pipelines.output.writer import Writer
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table


class AskJob(AskOptions, JobOptions):
    pass


NEEDED = {"input": "in", "output": "out", "model": "org/model"}


def options(folder: Path, **given: Any) -> JobOptions:
    return JobOptions.model_validate(
        {"input": "in", "output": str(folder), "model": "org/model", **given}
    )


def task(made: JobOptions) -> Task:
    return caption(prompt=made.prompt)


def run(folder: Path, *, fails: bool = False, **given: Any) -> None:
    """A job of one unit."""
    made, ledger = options(folder, **given), Ledger()
    ledger.claim(["a"], [0])
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    said = metadata(made, task(made))
    with Writer(
        OutputFolder(str(folder)),
        ledger,
        schema,
        run_id="1",
        model=safe_uri(made.model),
        metadata=said,
    ) as out:
        out.add(table([row("a", kind="corrupt" if fails else None)]))


def check(folder: Path, **given: Any) -> None:
    now = options(folder, **given)
    check_settings(OutputFolder(str(folder)), now, task(now))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prompt": "Which colours?"}, "--prompt 'Which colours?' there, "),
        ({"model": "org/other"}, "--model 'org/other' there, 'org/model' now"),
        ({"max_tiles": 3}, "--max-tiles 3 there, 12 now"),
        ({"system_message": "Be brief."}, "--system-message 'Be brief.' there, the default now"),
        ({"temperature": 0.7}, "--temperature 0.7 there, 0.0 now"),
        ({"clip_seconds": 5}, "--clip-seconds 5.0 there, the default now"),
        ({"engine_args": {"quantization": "awq"}}, "quantization 'awq' there, the default now"),
    ],
)
def test_another_setting_is_refused_and_named(
    tmp_path: Path, changed: dict[str, Any], said: str, fails: bool
) -> None:
    run(tmp_path, fails=fails, **changed)
    check(tmp_path, **changed)
    with pytest.raises(ConfigurationError) as refused:
        check(tmp_path)
    assert said in str(refused.value)
    assert "--overwrite" in str(refused.value)


LONG = "See https://wiki/labels. " + "x" * 400


class TestWhatIsMeantIsCompared:
    """Not what may be shown of it, nor where it is written down."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"system_message": LONG + "In English."}, {"system_message": LONG + "In French."}),
            ({"stop": ("http://a/?x=1",)}, {"stop": ("http://a/?x=2",)}),
            ({"stop": ("a", "b")}, {"stop": ("b", "a")}),
            *(
                ({"engine_args": {name: one}}, {"engine_args": {name: other}})
                for name, one, other in [
                    ("extra_body", {"top_k": 1}, {"top_k": 50}),
                    ("extra_body", {"grammar": "http://a/?x=1"}, {"grammar": "http://a/?x=2"}),
                    ("send_max_tiles", True, False),
                    ("hf_overrides", {"text_config": {"n": 1}}, {"text_config": {"n": 2}}),
                ]
            ),
        ],
    )
    def test_two_that_look_alike(
        self, tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
    ) -> None:
        run(tmp_path, **one)
        check(tmp_path, **one)
        with pytest.raises(ConfigurationError, match="holds answers of another kind"):
            check(tmp_path, **other)

    def test_a_schema_is_what_its_file_says(self, tmp_path: Path) -> None:
        path = tmp_path / "s.json"

        def of(given: str) -> Any:
            return settings_of(AskJob.model_validate({**NEEDED, "json_schema": given}), CAPTION)[
                "json_schema"
            ]

        path.write_text('{"type": "object"}')
        first = of(str(path))
        assert of('{ "type" : "object" }')["blake2b"] == first["blake2b"]
        path.write_text('{"type": "array"}')
        assert of(str(path))["blake2b"] != first["blake2b"]

    def test_of_a_version_that_kept_no_digests_what_was_shown_is_compared(
        self, tmp_path: Path
    ) -> None:
        there = {"system_message": safe_uri(LONG), "stop": ["http://a/?…"]}
        schema = result_schema(pa.schema([]), CAPTION, IMAGE).with_metadata(
            {"settings": json.dumps(there)}
        )
        OutputFolder(str(tmp_path)).write_table(f"{RESULTS}/old.parquet", schema.empty_table())
        check(tmp_path, system_message=LONG, stop=("http://a/?x=1",))
        with pytest.raises(ConfigurationError, match="--stop"):
            check(tmp_path, system_message=LONG, stop=("http://b/?x=1",))

    def test_a_secret_changes_nothing(self) -> None:
        of = [
            options(Path("o"), engine_args={"extra_body": {"api_key": key}})
            for key in ("one", "two")
        ]
        assert settings_of(of[0], CAPTION) == settings_of(of[1], CAPTION)


def test_the_other_way_round_too(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(
        ConfigurationError,
        match="--max-tiles 12 there, 1 now; quantization the default there, 'awq' now",
    ):
        check(tmp_path, engine_args={"quantization": "awq"}, max_tiles=1)


def test_another_task_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(ConfigurationError, match="task 'caption' there, 'ocr' now"):
        check_settings(OutputFolder(str(tmp_path)), options(tmp_path), replace(CAPTION, name="ocr"))


@pytest.mark.parametrize(
    "changed",
    [
        {"input": "grown"},
        {"limit": 3},
        {"retry_errors": True},
        {"engines": 8, "gpus_per_engine": 2, "in_flight": 7},
        {"engine_args": {"gpu_memory_utilization": 0.8}},
        {"max_bytes": 5, "decode_timeout": 5, "pages": "1-3"},
    ],
)
def test_what_changes_no_answer_may_change(tmp_path: Path, changed: dict[str, Any]) -> None:
    run(tmp_path)
    check(tmp_path, **changed)


def test_an_output_that_says_task_and_prompt_only_is_judged_by_them(tmp_path: Path) -> None:
    schema = result_schema(pa.schema([]), caption(prompt="Why?"), IMAGE)
    OutputFolder(str(tmp_path)).write_table(f"{RESULTS}/old.parquet", schema.empty_table())
    check(tmp_path, prompt="Why?", max_tiles=2)
    with pytest.raises(ConfigurationError, match="--prompt 'Why\\?' there"):
        check(tmp_path)


def test_no_secret_stands_in_a_file(tmp_path: Path) -> None:
    hidden = {"hf_token": "s3cret", "hf_overrides": {"api_key": "s3cret"}}
    run(
        tmp_path,
        model="https://me:s3cret@hub/org/model",
        allow=("https://me:s3cret@cdn/",),
        engine_args=hidden,
    )
    (path,) = (tmp_path / "results").iterdir()
    assert b"hub/org/model" in path.read_bytes()
    assert b"s3cret" not in path.read_bytes()


def test_an_empty_output_takes_anything(tmp_path: Path) -> None:
    check(tmp_path)
    OutputFolder(str(tmp_path)).write_table(
        f"{ERRORS}/of_another_program.parquet", pa.table({"id": ["a"]})
    )
    check(tmp_path)


class TestWeights:
    def write(self, folder: Path, now: object, weights: str) -> None:
        table = pa.table({"id": ["a"]}, metadata=metadata(now, task(now), weights))  # type: ignore[arg-type]
        OutputFolder(str(folder)).write_table("results/one.parquet", table)

    def test_new_ones_under_the_same_name_are_refused(self, tmp_path: Path) -> None:
        now = options(tmp_path)
        self.write(tmp_path, now, "commit abc")
        output = OutputFolder(str(tmp_path))
        check_settings(output, now, task(now), "commit abc")
        with pytest.raises(
            ConfigurationError, match=r"files of --model are 'commit abc' there, 'commit def' now"
        ):
            check_settings(output, now, task(now), "commit def")

    def test_an_output_of_an_older_version_goes_on(self, tmp_path: Path) -> None:
        now = options(tmp_path)
        self.write(tmp_path, now, "")
        check_settings(OutputFolder(str(tmp_path)), now, task(now), "commit def")
