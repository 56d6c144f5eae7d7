from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wormwood.launch.run.shipments import MOST_PIECES, Piece, Shipper, growth, join_pieces


def _shipped_bytes(piece: Piece) -> int:
    return sum(array.nbytes for array in piece.arrays.values())


def _same_bits(one, other) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def test_of_a_forest_that_grew_the_new_trees_travel_alone() -> None:
    rng = np.random.default_rng(0)
    leaves, initial = rng.normal(size=(1000, 16, 3)), np.zeros(3)
    sent: list[Piece] = []

    def send(piece: Piece) -> Piece:
        sent.append(piece)
        return piece

    shipper = Shipper(send)
    for trees in (900, 910, 1000):
        weights = {"leaves": leaves[:trees], "initial": initial, "start": np.array(0)}
        assert _same_bits(join_pieces(shipper.ship(weights)), weights)
    tree, start = 16 * 3 * 8, 8
    assert [_shipped_bytes(piece) for piece in sent] == [900 * tree + 24 + start, 10 * tree + start, 90 * tree + start]


def test_weights_that_all_change_are_one_piece_each_time() -> None:
    shipper = Shipper(lambda piece: piece)
    for value in range(5):
        assert len(shipper.ship({"weight": np.full((8, 8), float(value)), "bias": np.zeros(2)})) == 1


def test_arrays_that_change_in_place_after_they_were_sent_are_sent_again() -> None:
    shipper, weight = Shipper(lambda piece: piece), np.zeros(4)
    shipper.ship({"weight": weight})
    weight += 1.0
    assert join_pieces(shipper.ship({"weight": weight}))["weight"].tolist() == [1.0] * 4


def test_everything_is_sent_anew_once_there_are_many_pieces() -> None:
    shipper, rows = Shipper(lambda piece: piece), np.arange(1000.0 + 2 * MOST_PIECES)
    counts = [len(shipper.ship({"rows": rows[: 1000 + step]})) for step in range(2 * MOST_PIECES)]
    assert counts == [*range(1, MOST_PIECES + 1)] * 2


def test_instructions_that_are_no_arrays_arrive_as_they_are() -> None:
    instruction = ("weights", 1)
    assert join_pieces(Shipper(lambda piece: piece).ship(instruction)) is instruction


def test_a_zero_of_another_sign_is_a_change() -> None:
    piece = growth({"rows": np.array([0.0, 1.0])}, {"rows": np.array([-0.0, 1.0, 2.0])})
    assert piece.grown == frozenset()


_ARRAYS = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(st.sampled_from([0.0, -0.0, 1.0, np.nan]), max_size=4).map(np.array)
    | st.sampled_from([np.array(1), np.array(2), np.zeros((2, 0)), np.arange(3, dtype=np.float32)]),
    min_size=1,
)


@given(st.lists(_ARRAYS, min_size=1, max_size=6))
def test_whatever_is_sent_arrives_to_the_bit(sequence) -> None:
    shipper = Shipper(lambda piece: piece)
    for weights in sequence:
        assert _same_bits(join_pieces(shipper.ship(weights)), weights)
