"""Checkpoints from stores and the Hub: fetched once a node, resumed when cut, checked, and known by
their version."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.checkpoints.places import fingerprint, is_same_version, place_of
from internvl_ops.stores.opening import store_of
from testing.hub import Hub

ROOT = Path(__file__).parents[3]
NANO = ROOT / "examples" / "nano" / "checkpoint"
FILES = {path.name: path.read_bytes() for path in NANO.iterdir() if path.is_file()}
WEIGHTS = next(name for name in FILES if name.endswith(".safetensors"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERNVL_BATCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


def upload(place: str, **changed: bytes) -> None:
    store = store_of(place)
    for name, data in (
        FILES | {name.replace("__", "."): data for name, data in changed.items()}
    ).items():
        store.write(f"{place}/{name}", data)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name in FILES}


class TestStores:
    def test_a_checkpoint_is_read_and_fetched(self, remote_place: str) -> None:
        place = remote_place
        upload(place)
        checkpoint = load_checkpoint(place)
        assert checkpoint.model == place
        assert checkpoint.context_length == load_checkpoint(str(NANO)).context_length
        assert not (checkpoint.folder() / WEIGHTS).exists()  # a job is checked without them
        wanted = {name: data for name, data in FILES.items() if not name.endswith(".md")}
        assert content(checkpoint.whole()) == wanted
        assert load_checkpoint(place).version == checkpoint.version

    @pytest.fixture
    def gs(self, gs_place: str) -> str:
        upload(gs_place)
        return gs_place

    def test_what_was_fetched_is_used_though_the_store_is_away(
        self, gs: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint = load_checkpoint(gs)
        folder = checkpoint.whole()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
        assert checkpoint.whole() == checkpoint.folder() == folder

    def test_new_weights_are_another_version(self, gs: str) -> None:
        before = load_checkpoint(gs)
        first = before.whole()
        upload(gs, config__json=FILES["config.json"] + b" ")
        after = load_checkpoint(gs)
        assert after.version != before.version
        assert after.whole() != first
        assert before.whole() == first

    def test_weights_that_change_while_a_job_runs_are_refused(self, gs: str) -> None:
        checkpoint = load_checkpoint(gs)
        upload(gs, config__json=FILES["config.json"] + b" ")
        with pytest.raises(ConfigurationError, match="not those that the job began with"):
            checkpoint.whole()

    def test_a_fetch_that_was_cut_goes_on_where_it_ended(self, gs: str, cache: Path) -> None:
        checkpoint = load_checkpoint(gs)
        folder = checkpoint.folder()
        unfinished = folder / f"{WEIGHTS}.unfinished"
        unfinished.write_bytes(FILES[WEIGHTS][:100_000])
        before = unfinished.stat().st_ino
        assert (checkpoint.whole() / WEIGHTS).read_bytes() == FILES[WEIGHTS]
        assert (folder / WEIGHTS).stat().st_ino == before

    def test_damage_on_the_way_is_found(self, gs: str) -> None:
        checkpoint = load_checkpoint(gs)
        unfinished = checkpoint.folder() / f"{WEIGHTS}.unfinished"
        unfinished.write_bytes(b"x" * 1000)  # as many bytes of something else
        with pytest.raises(ConfigurationError, match=rf"{WEIGHTS} is not what the store says"):
            checkpoint.whole()
        assert (checkpoint.whole() / WEIGHTS).read_bytes() == FILES[WEIGHTS]

    def test_processes_of_a_node_fetch_it_once(self, gs: str, cache: Path) -> None:
        code = (
            "import sys; from internvl_ops.models.checkpoints.config import load_checkpoint; "
            "print(load_checkpoint(sys.argv[1]).whole())"
        )
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, gs], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        folders = {process.communicate()[0].strip() for process in started}
        assert [process.returncode for process in started] == [0, 0, 0]
        (folder,) = folders
        assert (Path(folder) / WEIGHTS).read_bytes() == FILES[WEIGHTS]
        assert not list(Path(folder).glob("*.unfinished"))

    def test_what_is_missing_is_said(self, gs: str) -> None:
        for name, says in (
            (WEIGHTS, "no weights there"),
            ("config.json", r"no config\.json there"),
        ):
            store_of(gs).delete(f"{gs}/{name}")
            with pytest.raises(ConfigurationError, match=says):
                load_checkpoint(gs)

    @pytest.mark.parametrize("model", ["https://host/model", "ftp://host/model"])
    def test_other_schemes(self, model: str) -> None:
        with pytest.raises(ConfigurationError, match="checkpoints are not read from"):
            load_checkpoint(model)


class TestTheHub:
    def test_a_revision_is_pinned_by_its_commit(self, hub: Hub) -> None:
        first = hub.commit("models/lab/nano", FILES)
        checkpoint = load_checkpoint("lab/nano")
        assert checkpoint.version.startswith(f"commit {first}, files ")
        second = hub.commit("models/lab/nano", FILES | {"config.json": FILES["config.json"] + b" "})
        assert load_checkpoint("lab/nano").version.startswith(f"commit {second}, files ")
        assert load_checkpoint("lab/nano", first).version == checkpoint.version
        assert load_checkpoint(f"hf://lab/nano@{first}").version == checkpoint.version
        whole = content(checkpoint.whole())
        assert (whole["config.json"], whole[WEIGHTS]) == (FILES["config.json"], FILES[WEIGHTS])

    def test_a_commit_that_changes_no_file_in_use_is_the_same_version(self, hub: Hub) -> None:
        hub.commit("models/lab/nano", FILES | {"README.md": b"one"})
        one = place_of("lab/nano").version
        hub.commit("models/lab/nano", FILES | {"README.md": b"two", "picture.png": b"x"})
        other = place_of("lab/nano").version
        assert one != other
        assert is_same_version(one, other)
        # an output of an older version, or no network
        assert is_same_version(one, one.partition(",")[0])
        assert not is_same_version(one.partition(",")[0], other)
        for changed in ("config.json", WEIGHTS, "modeling_internvl_chat.py"):
            hub.commit("models/lab/nano", FILES | {changed: b"{}"})
            assert not is_same_version(one, place_of("lab/nano").version)

    def test_a_revision_that_is_not_there(self, hub: Hub) -> None:
        hub.commit("models/lab/nano", FILES)
        with pytest.raises(ConfigurationError, match="at revision v9"):
            load_checkpoint("lab/nano", "v9")

    def test_a_folder_has_no_revision(self) -> None:
        with pytest.raises(
            ConfigurationError, match="only a checkpoint of the Hugging Face Hub has revisions"
        ):
            load_checkpoint(str(NANO), "v1")


def test_a_local_folder_is_known_by_its_content(tmp_path: Path) -> None:
    folder = shutil.copytree(NANO, tmp_path / "model")
    before = fingerprint(folder)
    assert place_of(str(folder)).version == f"content {before}" == f"content {fingerprint(NANO)}"
    (folder / "notes.md").write_text("of no effect")
    assert fingerprint(folder) == before
    data = bytearray(FILES[WEIGHTS])
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    assert fingerprint(folder) != before
