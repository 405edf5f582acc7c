"""What may leave a sandbox, and what its bytes cannot do to the process that reads them."""

from __future__ import annotations

import contextlib
import pickle
from typing import Any

import hypothesis.strategies as st
import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis.extra.numpy import arrays

from internvl_ops.errors import UnitError
from internvl_ops.media.parts import Loaded, Part
from internvl_ops.media.sandbox_codec import decode, encode
from internvl_ops.media.sandbox_wire import read_answer

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.builds(Part, page=st.none() | st.integers(1, 99))
    ),
    max_leaves=20,
)
numbers = st.sampled_from(["uint8", "int64", "float32", "float16", "bool", "complex64", ">i2"])


def keep_none(_: memoryview) -> None:
    return None


class Shelf(list[memoryview]):
    """Stands for the shared memory: what is put there is found by its place."""

    def lend(self, raw: memoryview) -> int:
        self.append(memoryview(bytearray(raw)))
        return len(self) - 1


@given(values)
@example([])
def test_values_come_out_as_they_went_in(value: Any) -> None:
    assert decode(encode(value, keep_none)) == value


@given(values)
def test_large_bytes_may_lie_elsewhere(value: Any) -> None:
    shelf = Shelf()
    assert decode(encode(value, shelf.lend), shelf) == value


@given(
    numbers.flatmap(lambda dtype: arrays(dtype, st.lists(st.integers(0, 4), max_size=4).map(tuple)))
)
def test_arrays_keep_type_shape_and_contents(array: np.ndarray) -> None:
    for shelf in (Shelf(), None):
        found = decode(encode(array, shelf.lend if shelf is not None else keep_none), shelf or ())
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_bytes_that_nobody_wrote_do_no_more_than_raise(payload: bytes) -> None:
    with contextlib.suppress(Exception):  # whatever it is: it ends the call, not the process
        encode(decode(payload), keep_none)


class Command:
    def __reduce__(self) -> Any:
        return print, ("run",)


ARRAY, DATACLASS, BYTES, NUMBER = 4, 3, 6, 5


def extension(code: int, content: Any) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(content)))


class TestForgeries:
    @pytest.mark.parametrize(
        "payload",
        [
            pickle.dumps(("result", Command())),
            extension(ARRAY, ["|O8", [1], b"A" * 8]),  # a pointer of the forger's choice
            extension(ARRAY, ["O", [1], b"A" * 8]),
            extension(ARRAY, ["<U2", [1], b"A" * 8]),
            extension(ARRAY, [[["f", "|O8"]], [1], b"A" * 8]),
            extension(ARRAY, ["|u1", [9], b"A" * 8]),  # larger than what it stands on
            extension(ARRAY, ["|u1", [2**40, 2**40], b"A" * 8]),
            extension(ARRAY, ["|u1", [-1], b"A" * 8]),
            extension(ARRAY, ["|u1", [-4, -2], b"A" * 8]),
            extension(ARRAY, ["|u1", [8.0], b"A" * 8]),
            extension(ARRAY, ["|u1", [8], 0]),  # a place that is not there
            extension(ARRAY, ["|u1", [8], -1]),
            extension(ARRAY, ["|u1", [1] * 40, b"A"]),
            extension(NUMBER, ["|O8", b"A" * 8]),
            extension(BYTES, 3),
            extension(DATACLASS, ["internvl_ops.media.parts", "Part", {"page": 1, "more": 2}]),
            extension(DATACLASS, ["internvl_ops.media.parts", "load", {}]),
            extension(DATACLASS, ["internvl_ops.engines.base", "Sampling", {}]),
            extension(DATACLASS, ["internvl_ops.models.__main__", "main", {}]),
            extension(DATACLASS, ["os", "system", {}]),
            extension(DATACLASS, ["subprocess", "Popen", {"args": "true"}]),
            extension(99, []),
            b"",
            b"\xc1",
            b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        ],
    )
    def test_are_refused(self, payload: bytes) -> None:
        with pytest.raises((ValueError, TypeError, AttributeError)):
            decode(payload)

    def test_brackets_without_end_are_refused(self) -> None:
        nested: bytes = msgpack.packb(None)
        for _ in range(3000):
            nested = msgpack.packb(msgpack.ExtType(1, b"\x91" + nested))
        with pytest.raises(ValueError, match="deep"):
            decode(nested)

    def test_tiles_that_do_not_fit_their_counts_do_not_reach_the_engine(self) -> None:
        sound = Loaded(np.zeros((2, 3, 4, 4), np.uint8), [2], 4, 4)
        content = [
            "internvl_ops.media.parts",
            "Loaded",
            vars(sound) | {"tiles_per_image": [7], "tiles": None, "seen": None},
        ]
        with pytest.raises((ValueError, AttributeError)):
            decode(extension(DATACLASS, content))

    @pytest.mark.parametrize(
        "answer",
        [
            ("done", None),
            ("unit error", "a text"),
            ("exception", ("text",)),
            ("exception", ("text", 5)),
            ("result",),
            ["result", None, None],
            None,
        ],
    )
    def test_answers_are_one_of_four(self, answer: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            read_answer(encode(answer, keep_none))

    def test_a_failure_has_a_known_kind(self) -> None:
        error = UnitError("decode", "corrupt", "a hole")
        assert read_answer(encode(("unit error", error), keep_none)).value == error
        error.kind = "worse"  # type: ignore[assignment]
        with pytest.raises(ValueError, match="worse"):
            read_answer(encode(("unit error", error), keep_none))


@pytest.mark.parametrize("value", [print, lambda: 0, object(), 2**70, {"a": open}])
def test_what_is_no_data_does_not_go_out(value: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        encode(value, keep_none)
