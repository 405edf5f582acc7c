"""What a decoder may do to its process, and what its caller sees of it."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.sandbox import Sandbox
from testing import hostile


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(memory_limit=1 << 29) as sandbox:
        yield sandbox


@pytest.fixture
def a_keeper_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sandboxes share the keeper of an environment, and the tests' keeper outlives each of them."""
    monkeypatch.setenv("HOME", str(tmp_path))


def wait_for_end(process: int) -> bool:
    """Whether the process has ended, waiting for it."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    ended = bool(select.select([descriptor], [], [], 30)[0])
    os.close(descriptor)
    return ended


class TestResults:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            5,
            "text",
            b"bytes",
            b"x" * 3_000_000,
            [1, {"a": (2.5, None)}],
            {1, 2},
            np.float32(2),
        ],
    )
    def test_values_go_there_and_come_back(self, sandbox: Sandbox, value: object) -> None:
        assert sandbox.call(hostile.give_back, value) == value

    @pytest.mark.parametrize("count", [0, 1, 1000, 1_000_000])
    def test_arrays_come_back_whole_and_can_be_written_to(
        self, sandbox: Sandbox, count: int
    ) -> None:
        array = sandbox.call(hostile.numbers, count)
        assert np.array_equal(array, np.arange(count))
        array += 1

    def test_several_arrays_in_one_result(self, sandbox: Sandbox) -> None:
        arrays = sandbox.call(hostile.shared_numbers, 100_000)
        assert np.array_equal(arrays["first"], np.arange(100_000))
        assert np.array_equal(arrays["second"], np.arange(100_000) * 2)
        assert np.array_equal(arrays["tail"], np.arange(50_000, 100_000) * 2)

    def test_dataclasses_of_the_package_come_back(self, sandbox: Sandbox) -> None:
        image = sandbox.call(hostile.tiled, 13)
        assert image.tiles.shape == (13, 3, 448, 448)
        assert image.tiles.min() == 1
        assert (image.width, image.height, image.notes) == (5, 7, ["a note"])

    def test_read_only_arrays_are_arguments_and_results_too(self, sandbox: Sandbox) -> None:
        array = np.frombuffer(bytes(range(250)) * 1000, np.uint8)
        assert np.array_equal(sandbox.call(hostile.give_back, array), array)

    def test_results_keep_their_contents_as_long_as_they_are_used(self, sandbox: Sandbox) -> None:
        kept = [sandbox.call(hostile.give_back, np.full(200_000, number)) for number in range(150)]
        parts = [array[-3:] for array in kept[::2]]
        del kept[::2]
        for number in range(50):
            sandbox.call(hostile.give_back, np.full(200_000, -number))
        assert [int(part[0]) for part in parts] == list(range(0, 150, 2))
        assert [int(array.sum()) for array in kept] == [
            200_000 * number for number in range(1, 150, 2)
        ]

    def test_results_outlive_the_sandbox_and_its_crashes(self) -> None:
        with Sandbox() as sandbox:
            before = sandbox.call(hostile.numbers, 500_000)
            with pytest.raises(UnitError):
                sandbox.call(hostile.segfault)
            after = sandbox.call(hostile.shared_numbers, 500_000)["first"]
        assert before.sum() == after.sum() == 500_000 * 499_999 // 2

    def test_memory_and_descriptors_are_used_again(self, sandbox: Sandbox) -> None:
        def descriptors() -> int:
            return len(os.listdir("/proc/self/fd"))

        sandbox.call(hostile.numbers, 1_000_000)
        before = descriptors()
        for _ in range(200):
            sandbox.call(hostile.numbers, 1_000_000)
        assert descriptors() <= before + 2


def failure(
    sandbox: Sandbox, function: Callable[..., object], *args: object, timeout_s: float = 60
) -> UnitError:
    with pytest.raises(UnitError) as caught:
        sandbox.call(function, *args, timeout_s=timeout_s)
    # the next call works, whatever happened
    assert sandbox.call(hostile.give_back, "next") == "next"
    assert caught.value.stage == "decode"
    return caught.value


class TestFailures:
    def test_a_unit_error_is_passed_on(self, sandbox: Sandbox) -> None:
        error = failure(sandbox, hostile.refuse)
        assert (error.kind, error.message) == ("unsupported", "a file nobody can read")

    def test_a_segfault_is_an_error_that_says_where(self, sandbox: Sandbox) -> None:
        error = failure(sandbox, hostile.segfault)
        assert error.kind == "decoder_crashed"
        assert "SIGSEGV" in error.message
        assert "string_at" in error.message

    def test_leaving_the_process_is_an_error(self, sandbox: Sandbox) -> None:
        error = failure(sandbox, hostile.leave)
        assert error.kind == "decoder_crashed"
        assert "exit status 3" in error.message

    def test_any_other_exception_is_an_error_that_says_where(self, sandbox: Sandbox) -> None:
        error = failure(sandbox, hostile.divide_by_zero)
        assert error.kind == "decoder_crashed"
        assert "ZeroDivisionError: division by zero, in testing/hostile.py line" in error.message

    def test_a_hang_is_stopped(self, sandbox: Sandbox) -> None:
        error = failure(sandbox, hostile.loop, timeout_s=0.3)
        assert error.kind == "timeout"
        assert "0.3 s" in error.message

    @pytest.mark.parametrize(
        "bomb",
        [
            hostile.allocate_in_python,
            hostile.allocate_in_numpy,
            hostile.allocate_in_torch,
            hostile.allocate_result,
            hostile.abort_for_memory,
        ],
    )
    def test_a_memory_bomb_is_too_large(
        self, sandbox: Sandbox, bomb: Callable[..., object]
    ) -> None:
        error = failure(sandbox, bomb)
        assert error.kind == "too_large"
        assert "0.5 GiB" in error.message

    @pytest.mark.parametrize("answer", [hostile.answer_with_function, hostile.answer_with_lambda])
    def test_answers_other_than_data_are_errors(
        self, sandbox: Sandbox, answer: Callable[..., object]
    ) -> None:
        assert failure(sandbox, answer).kind == "decoder_crashed"

    def test_a_forged_answer_runs_nothing_here(self, sandbox: Sandbox, tmp_path: Path) -> None:
        error = failure(sandbox, hostile.forge_answer, str(tmp_path / "made"), timeout_s=10)
        assert error.kind == "decoder_crashed"
        assert "the decoder's answer cannot be read" in error.message
        assert not (tmp_path / "made").exists()

    def test_the_stage_is_the_callers(self) -> None:
        with Sandbox(stage="explode") as sandbox, pytest.raises(UnitError) as caught:
            sandbox.call(hostile.leave)
        assert caught.value.stage == "explode"

    def test_functions_the_child_cannot_find_are_refused(self, sandbox: Sandbox) -> None:
        with pytest.raises(ValueError, match="top of a module"):
            sandbox.call(lambda: 0)

    def test_arguments_that_cannot_be_pickled_are_the_callers_mistake(
        self, sandbox: Sandbox
    ) -> None:
        with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
            sandbox.call(hostile.give_back, lambda: 0)
        assert sandbox.call(hostile.give_back, 1) == 1

    def test_a_module_that_cannot_be_imported_is_named(self, sandbox: Sandbox) -> None:
        def elsewhere() -> None: ...

        elsewhere.__module__, elsewhere.__qualname__ = "no_such_module", "elsewhere"
        with pytest.raises(ValueError, match="no_such_module"):
            sandbox.call(elsewhere)
        assert sandbox.call(hostile.give_back, 1) == 1


class TestProcesses:
    def test_threads_share_a_pool(self) -> None:
        with Sandbox(workers=2) as sandbox, ThreadPoolExecutor(6) as threads:
            arrays = list(
                threads.map(
                    lambda count: sandbox.call(hostile.numbers, count), range(20_000, 20_060)
                )
            )
        assert [len(array) for array in arrays] == list(range(20_000, 20_060))

    @pytest.mark.parametrize("which", [0, 1], ids=["worker", "keeper"])
    def test_a_process_that_died_between_calls_costs_nothing(
        self, sandbox: Sandbox, which: int
    ) -> None:
        numbers = sandbox.call(hostile.process_numbers)
        os.kill(numbers[which], signal.SIGKILL)
        # a worker ends with its keeper
        assert all(wait_for_end(number) for number in numbers[: which + 1])
        assert sandbox.call(hostile.give_back, 1) == 1

    @pytest.mark.usefixtures("a_keeper_of_its_own")
    def test_children_end_with_the_last_sandbox(self) -> None:
        with Sandbox() as sandbox:
            worker, keeper = sandbox.call(hostile.process_numbers)
            with Sandbox() as other:
                of_other, same = other.call(hostile.process_numbers)
            assert wait_for_end(of_other)
            assert same == keeper
            assert sandbox.call(hostile.process_numbers) == (worker, keeper)
        assert all(wait_for_end(number) for number in (worker, keeper))

    def test_each_sandbox_has_its_own_limit_of_memory(self, sandbox: Sandbox) -> None:
        with Sandbox(memory_limit=1 << 28) as smaller:
            with pytest.raises(UnitError, match=r"0\.25 GiB"):
                smaller.call(hostile.numbers, 48 << 20)
            assert len(sandbox.call(hostile.numbers, 48 << 20)) == 48 << 20
            assert smaller.call(hostile.give_back, 1) == 1

    @pytest.mark.usefixtures("a_keeper_of_its_own")
    def test_a_keeper_that_died_costs_none_of_its_sandboxes_a_call(self) -> None:
        with Sandbox() as sandbox, Sandbox() as other:
            numbers = [*sandbox.call(hostile.process_numbers), *other.call(hostile.process_numbers)]
            os.kill(numbers[1], signal.SIGKILL)
            assert all(wait_for_end(number) for number in numbers)
            again = [one.call(hostile.process_numbers) for one in (sandbox, other)]
        assert again[0][1] == again[1][1] != numbers[1]

    def test_children_end_with_a_killed_parent(self) -> None:
        code = (
            "from internvl_ops.media.sandbox import Sandbox; from testing import hostile; import"
            " os, signal\nsandbox = Sandbox(); print(*sandbox.call(hostile.process_numbers),"
            " flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
        )
        parent = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
        )
        assert parent.returncode == -signal.SIGKILL
        numbers = [int(number) for number in parent.stdout.split()]
        assert len(numbers) == 2
        assert all(wait_for_end(number) for number in numbers)

    def test_credentials_do_not_reach_the_child(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        with Sandbox() as sandbox:
            assert "a-secret" not in str(sandbox.call(hostile.environment))

    def test_decoders_chatter_stays_out_of_the_log(
        self, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert sandbox.call(hostile.chatter) == "done"
        assert capfd.readouterr() == ("", "")

    def test_peak_memory_is_told(self, sandbox: Sandbox) -> None:
        sandbox.call(hostile.numbers, 20_000_000)
        assert 160_000_000 < sandbox.peak_memory() < 4 << 30

    def test_refuses_a_pool_of_none(self) -> None:
        with pytest.raises(ValueError, match="workers 0"):
            Sandbox(workers=0)
