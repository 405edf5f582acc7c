"""Labels from files, calibration by an earlier output, and the figures at the end of a job."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks.labelling import LABELS
from pipelines.commands.classification import compare
from pipelines.options.command_line import build_options
from pipelines.options.tasks import job_options

NEEDED = {"input": "in.jsonl", "model": "m", "labels": ["cat", "dog"]}


def options(output: Path, **given: Any) -> Any:
    return build_options(job_options("classify"), {**NEEDED, "output": str(output), **given})


def task(output: Path, columns: tuple[str, ...] = ("image",), **given: Any) -> Any:
    made = options(output, **given)
    return made.make_task("image", columns)


def labelled(
    folder: Path, rows: list[tuple[str | None, float]], settings: dict[str, Any] | None = None
) -> Path:
    """An output of the job over a manifest with the column ``kind``: its truth, and the probability
    of ``cat``."""
    table = pa.table(
        {
            "id": [str(number) for number in range(len(rows))],
            "kind": [truth for truth, _ in rows],
            "label": ["cat" if chance > 0.5 else "dog" for _, chance in rows],
            "labels": pa.array(
                [
                    [
                        {"label": "cat", "probability": chance},
                        {"label": "dog", "probability": 1 - chance},
                    ]
                    for _, chance in rows
                ],
                LABELS,
            ),
        }
    ).replace_schema_metadata({"settings": json.dumps(settings or {})})
    for name in ("results", "errors", "_runs"):
        (folder / name).mkdir(parents=True)
    pq.write_table(table, folder / "results" / "part.parquet")
    return folder


TOO_SURE = [("cat", 0.99)] * 15 + [("dog", 0.99)] * 5 + [("dog", 0.01)] * 15 + [("cat", 0.01)] * 5


class TestLabels:
    @pytest.mark.parametrize("text", ["animal: [cat, dog]\n", '{"animal": ["cat", "dog"]}'])
    def test_a_taxonomy_is_yaml_or_json(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "labels.yaml").write_text(text)
        made = task(tmp_path / "out", labels=[], taxonomy=str(tmp_path / "labels.yaml"))
        assert list(made.details["labels"]) == ["animal/cat", "animal/dog"]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"labels": []}, "No labels"),
            ({"labels": ["cat", " cat "]}, "each label once"),
            ({"taxonomy": "x.yaml"}, "two lists of labels"),
            ({"labels": [], "taxonomy": "/no/such.yaml"}, "--taxonomy /no/such.yaml"),
            ({"truth_column": "kind"}, "--truth-column kind: no such column"),
            ({"calibrate": "out/"}, "--truth-column"),
            (
                {"calibrate": "/no/such", "truth_column": "kind"},
                "--calibrate /no/such: does not exist",
            ),
            ({"pictures": False}, "--no-pictures"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, tmp_path: Path, given: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=said):
            task(tmp_path, **given)


class TestCalibration:
    def test_an_earlier_output_calibrates_the_next_run(self, tmp_path: Path) -> None:
        """The model was right in three of four rows, and said 99 %."""
        earlier = labelled(tmp_path / "earlier", TOO_SURE)
        stated = task(tmp_path / "out", calibrate=str(earlier), truth_column="kind").details[
            "calibrate"
        ]
        assert (stated["rows"], stated["temperature"] > 3) == (40, True)
        assert stated["log_loss_after"] == pytest.approx(0.5623, abs=0.01)
        assert stated["log_loss_before"] > 1

    def test_a_csv_calibrates_as_well(self, tmp_path: Path) -> None:
        table = pq.read_table(labelled(tmp_path / "earlier", TOO_SURE) / "results" / "part.parquet")
        as_text = pa.array([json.dumps(value) for value in table["labels"].to_pylist()])
        place = table.column_names.index("labels")
        pyarrow.csv.write_csv(table.set_column(place, "labels", as_text), tmp_path / "rows.csv")
        found = [
            task(tmp_path / "out", calibrate=str(tmp_path / name), truth_column="kind").details[
                "calibrate"
            ]
            for name in ("earlier", "rows.csv")
        ]
        assert found[0] == found[1]

    def test_too_few_rows_and_other_labels_are_refused(self, tmp_path: Path) -> None:
        few = labelled(tmp_path / "few", [*TOO_SURE[:10], ("fox", 0.5), (None, 0.5)])
        with pytest.raises(ConfigurationError, match="10 rows have the same labels"):
            task(tmp_path / "out", calibrate=str(few), truth_column="kind")
        with pytest.raises(ConfigurationError, match="no column 'species'"):
            task(tmp_path / "out", calibrate=str(few), truth_column="species")

    def test_what_is_calibrated_already_is_refused(self, tmp_path: Path) -> None:
        earlier = labelled(tmp_path / "earlier", TOO_SURE, {"calibrate": {"temperature": 2}})
        with pytest.raises(ConfigurationError, match="calibrated already"):
            task(tmp_path / "out", calibrate=str(earlier), truth_column="kind")


def test_the_figures_are_printed_and_written(tmp_path: Path) -> None:
    output = labelled(tmp_path / "out", [("cat", 0.9), ("cat", 0.2), ("dog", 0.1), (None, 0.1)])
    pq.write_table(pa.table({"id": ["x"]}), output / "errors" / "part.parquet")
    plan: Any = SimpleNamespace(schema=pa.schema([("kind", pa.string())]))
    said = compare(options(output, truth_column="kind"), plan)
    assert "3 units with a truth, 1 without a truth, 1 failed. Right: 66.7%." in said
    assert "true below, given to the right: 1 cat, 2 dog" in said
    written = json.loads((output / "evaluation" / "classify.json").read_text())
    assert written["labels"]["dog"] == {"true": 1, "given": 2, "precision": 0.5, "recall": 1.0}
    assert written["confusion"] == {"cat": {"cat": 1, "dog": 1}, "dog": {"dog": 1}}
