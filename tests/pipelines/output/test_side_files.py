"""Files beside the results: the card that makes an output a data set, and what nobody may
overwrite."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from internvl_ops.errors import ConfigurationError
from pipelines.output.card import CARD, card, write_card
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.parquet_bytes import as_parquet
from pipelines.output.side_files import SIDE_FILE_INDEX, write_side_file
from tests.pipelines.manifests import plan_of

NAME = "evaluation/scores.json"


@pytest.fixture
def output(uri: str) -> OutputFolder:
    return OutputFolder(uri)


def write(output: OutputFolder, data: bytes, run: str, *, beside: bool = True) -> str | None:
    return write_side_file(output, NAME, data, run, beside=beside)


def there(output: OutputFolder) -> dict[str, bytes]:
    return {
        name: output.read_bytes(f"evaluation/{name}") for name in output.list_names("evaluation")
    }


class TestOwnership:
    def test_what_a_run_wrote_is_replaced(self, output: OutputFolder) -> None:
        for run in ("1", "2", "2"):
            assert write(output, run.encode(), run) == NAME
        assert there(output) == {"scores.json": b"2"}

    @pytest.mark.parametrize("edited", [False, True])
    def test_what_a_user_wrote_or_edited_stays_and_the_new_one_stands_beside_it(
        self, output: OutputFolder, edited: bool
    ) -> None:
        if edited:
            write(output, b"1", "1")
        output.write_bytes(NAME, b"mine")
        assert write(output, b"2", "2") == "evaluation/scores.2.json"
        assert write(output, b"3", "3") == "evaluation/scores.3.json"
        assert there(output) == {"scores.json": b"mine", "scores.3.json": b"3"}

    def test_one_beside_it_that_a_user_edited_stays_too(self, output: OutputFolder) -> None:
        output.write_bytes(NAME, b"mine")
        write(output, b"2", "2")
        output.write_bytes("evaluation/scores.2.json", b"mine, too")
        write(output, b"3", "3")
        assert there(output) == {
            "scores.json": b"mine",
            "scores.2.json": b"mine, too",
            "scores.3.json": b"3",
        }

    def test_a_run_that_died_before_it_wrote_the_file_leaves_it_a_runs(
        self, output: OutputFolder
    ) -> None:
        write(output, b"1", "1")
        known = json.loads(output.read_bytes(SIDE_FILE_INDEX))
        write(output, b"2", "2")
        output.write_bytes(NAME, b"1")  # the index had been written, the file had not
        assert known[NAME][0] in json.loads(output.read_bytes(SIDE_FILE_INDEX))[NAME]
        assert write(output, b"3", "3") == NAME

    def test_an_index_that_cannot_be_read_makes_every_file_the_users(
        self, output: OutputFolder
    ) -> None:
        write(output, b"1", "1")
        output.write_bytes(SIDE_FILE_INDEX, b"{")
        assert write(output, b"2", "2", beside=False) is None
        assert there(output) == {"scores.json": b"1"}


class TestCard:
    def test_it_names_each_folder_for_load_dataset_and_results_by_default(
        self, output: OutputFolder
    ) -> None:
        write_card(output, "1")
        text = output.read_bytes(CARD).decode()
        head = yaml.safe_load(text.split("---")[1])
        assert head["configs"][0] == {
            "config_name": "results",
            "data_files": "results/*.parquet",
            "default": True,
        }
        assert head["configs"][1] == {"config_name": "errors", "data_files": "errors/*.parquet"}

    def test_it_is_written_once(self, output: OutputFolder) -> None:
        write_card(output, "1")
        before = output.fs.info(f"{output.root}/{CARD}")
        output.before_change = lambda: pytest.fail("nothing changes")
        write_card(output, "2")
        assert output.fs.info(f"{output.root}/{CARD}") == before

    @pytest.mark.parametrize("edited", [False, True])
    def test_a_readme_of_the_user_stays(self, output: OutputFolder, edited: bool) -> None:
        if edited:
            write_card(output, "1")
        output.write_bytes(CARD, b"# My data")
        write_card(output, "2")
        output.clear()
        assert output.read_bytes(CARD) == b"# My data"
        assert CARD.replace(".md", ".2.md") not in output.list_names("")

    def test_its_lines_read_the_output(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of the readers that are installed here; the others are names of the same files."""
        output = OutputFolder(str(tmp_path))
        output.write_table(f"{RESULTS}/1.parquet", pa.table({"id": ["a"]}))
        write_card(output, "1")
        monkeypatch.chdir(tmp_path)
        lines = card(output).split("```python\n")[1].split("```")[0].splitlines()
        known: dict[str, object] = {}
        for line in lines:
            if line.startswith(("OUT", "from os.path", "import pandas", "import duckdb")):
                exec(line, known)
        found = [eval(line, known) for line in lines if line.startswith(("pd.", "duckdb."))]
        assert [len(one) for one in found] == [1, 1]

    def test_an_output_with_a_card_is_read_as_an_input_as_before(
        self, output: OutputFolder
    ) -> None:
        output.write_bytes(
            f"{RESULTS}/1.parquet", as_parquet(pa.table({"id": ["a"], "image": ["a.jpg"]}))
        )
        write_card(output, "1")
        plan = plan_of(output.uri)
        assert [split.name for split in plan.splits] == ["results/1.parquet"]
        if output.local:
            assert len(pd.read_parquet(f"{output.root}/results")) == 1

    def test_errors_alone_are_no_input(self, output: OutputFolder) -> None:
        write_card(output, "1")
        with pytest.raises(ConfigurationError, match="no file of a known suffix"):
            plan_of(output.uri)
        assert output.files(ERRORS) == []
