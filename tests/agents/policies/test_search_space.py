"""Weights as vectors: coordinates, bounds, populations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wormwood.agents.policies.search_space import SMALLEST, Parameter, SearchSpace

E = np.e


def _space() -> SearchSpace:
    return SearchSpace(
        (
            Parameter("plus", sign=+1, low=0.5, high=4.0),
            Parameter("free", (2, 2)),
            Parameter("minus", (1,), sign=-1),
            Parameter("box", low=-1.0, high=2.0),
        ),
        fixed={"period": np.array(60.0), "pair": np.array([1.0, 2.0])},
    )


def test_encode_takes_logarithms_of_magnitudes_and_the_rest_as_it_is() -> None:
    weights = {
        "plus": np.array(E),
        "free": np.array([[1.0, -2.0], [3.0, 0.0]]),
        "minus": np.array([-1.0]),
        "box": np.array(0.5),
        "period": np.array(60.0),
    }
    assert _space().size == 7
    np.testing.assert_allclose(_space().encode(weights), [1.0, 1.0, -2.0, 3.0, 0.0, 0.0, 0.5], atol=1e-15)


def test_encode_keeps_to_the_bounds_and_away_from_the_logarithm_of_nothing() -> None:
    weights = {"plus": np.array(9.0), "free": np.zeros((2, 2)), "minus": np.array([0.0]), "box": np.array(-7.0)}
    np.testing.assert_allclose(_space().encode(weights), [np.log(4.0), 0, 0, 0, 0, np.log(SMALLEST), -1.0])
    wrong_sign = weights | {"minus": np.array([5.0]), "plus": np.array(-5.0)}
    np.testing.assert_allclose(_space().encode(wrong_sign)[[0, 5]], [np.log(0.5), np.log(SMALLEST)])


def test_decode_puts_signs_and_fixed_weights_back() -> None:
    weights = _space().decode(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 1.0, -0.5]))
    assert {name: values.tolist() for name, values in weights.items()} == {
        "plus": 1.0,
        "free": [[1.0, 2.0], [3.0, 4.0]],
        "minus": [-E],
        "box": -0.5,
        "period": 60.0,
        "pair": [1.0, 2.0],
    }


def test_a_population_decodes_to_what_each_candidate_decodes_to() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 7))
    stacked = _space().decode(vectors)
    assert {name: values.shape for name, values in stacked.items()} == {
        "plus": (5,),
        "free": (5, 2, 2),
        "minus": (5, 1),
        "box": (5,),
        "period": (5,),
        "pair": (5, 2),
    }
    for row, vector in enumerate(vectors):
        for name, values in _space().decode(vector).items():
            np.testing.assert_array_equal(stacked[name][row], values)


def test_what_is_decoded_is_arrays_of_its_own() -> None:
    vector = np.ones(7)
    weights = _space().decode(vector)
    for values in weights.values():
        assert type(values) is np.ndarray  # not a NumPy scalar, where the shape is ()
        assert values.dtype == np.float64
        values[...] = 7.0
    assert vector.tolist() == [1.0] * 7
    assert _space().decode(vector)["period"] == 60.0


def test_bounds_are_those_of_each_coordinate() -> None:
    inf = np.inf
    expected = [[np.log(0.5), np.log(4.0)], *[[-inf, inf]] * 4, [-inf, inf], [-1.0, 2.0]]
    np.testing.assert_allclose(_space().bounds, expected)


@given(values=hnp.arrays(np.float64, (3, 2), elements=st.floats(SMALLEST, 1e6)), sign=st.sampled_from([-1, 1]))
def test_decode_undoes_encode(values: np.ndarray, sign: int) -> None:
    space = SearchSpace((Parameter("w", (3, 2), sign=sign), Parameter("v", (3, 2))))
    weights = {"w": sign * values, "v": values - 1.0}
    back = space.decode(space.encode(weights))
    np.testing.assert_allclose(back["w"], weights["w"], rtol=1e-13)
    np.testing.assert_array_equal(back["v"], weights["v"])


def test_a_missing_weight_is_an_error() -> None:
    with pytest.raises(KeyError):
        _space().encode({"plus": np.array(1.0)})
