import hashlib
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wormwood.errors import BadInput
from wormwood.launch.storage.states import nest, state_sha256, unnest

ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["?", "<i4", ">i8", "<u8", ">f4", "<f8", "<f2", "<c8"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


def test_hash_is_that_of_the_documented_bytes() -> None:
    state = {"b": np.array(1.5), "a": np.array([[1], [258]], dtype=np.int16)}
    written_out = b'["a", "<i2", [2, 1]]' + bytes([1, 0, 2, 1]) + b'["b", "<f8", []]' + bytes([0] * 6 + [0xF8, 0x3F])
    assert state_sha256(state) == hashlib.sha256(written_out).hexdigest()


def test_hash_of_nothing_is_that_of_no_bytes() -> None:
    assert state_sha256({}) == hashlib.sha256(b"").hexdigest()


@given(array=ARRAYS)
def test_hash_does_not_see_byte_order_memory_layout_or_order_of_entries(array: np.ndarray) -> None:
    swapped = array.astype(array.dtype.newbyteorder("S"))
    columns_first = np.asfortranarray(array).reshape(array.shape)
    with_gaps = np.repeat(array[..., None], 2, axis=-1)[..., 0]
    expected = state_sha256({"x": array, "y": np.zeros(1)})
    for same in (swapped, columns_first, with_gaps):
        assert state_sha256({"y": np.zeros(1), "x": same}) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.array([1.0, 2.0])},
        {"w": np.array([1.0, -0.0])},
        {"w": np.array([1.0, 0.0], dtype=np.float32)},
        {"w": np.array([[1.0, 0.0]])},
        {"w": np.array([1.0]), "x": np.array([0.0])},
        {"w": np.array([1.0, 0.0]), "x": np.zeros(0)},
        {"w": np.array([1.0, 0.0]).view(np.int64)},
    ],
)
def test_hash_sees_names_types_shapes_and_every_bit(other: dict[str, np.ndarray]) -> None:
    assert state_sha256(other) != state_sha256({"w": np.array([1.0, 0.0])})


@pytest.mark.parametrize(
    "array",
    [
        np.array([Decimal(1)], dtype=object),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.zeros(2, dtype=np.longdouble),
        np.zeros(1, dtype=[("x", "f8")]),
        np.zeros(1, dtype="datetime64[s]"),
    ],
)
def test_other_than_numbers_is_refused(array: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"'shards/0/x'.*expected numbers or booleans"):
        state_sha256({"shards/0/x": array})


def test_nest_and_unnest_are_inverse_and_keep_prefixes_apart() -> None:
    first, eleventh = {"steps": np.zeros(2), "a/b": np.ones(1)}, {"steps": np.ones(2)}
    state = nest("shards/1", first) | nest("shards/11", eleventh) | {"shards/1": np.zeros(0)}
    assert list(nest("shards/1", first)) == ["shards/1/steps", "shards/1/a/b"]
    assert unnest("shards/1", state) == first
    assert unnest("shards/11", state) == eleventh
    assert unnest("shards/2", state) == {}
