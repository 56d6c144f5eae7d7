"""Vector operations for kernels, as LLVM instructions: Numba leaves such short loops scalar, or checks for overlap.

Each takes arrays that are contiguous, and places as element indices from their beginnings; it checks neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

__all__ = ["GROUP", "Lanes", "add_lanes", "difference_square", "find_leaves", "lanes_of", "subtract_lanes"]

Lanes = tuple[int, ...]
"""Zeros, one for each of W lanes: kernels are compiled for the length of this tuple."""

GROUP = 32
"""Rows that ``find_leaves`` walks at once."""

_INTEGER, _DOUBLE = ir.IntType(64), ir.DoubleType()


def lanes_of(numbers: int) -> Lanes:
    """Return lanes for so many numbers: the next power of two, and at least 4."""
    return (0,) * max(4, 1 << (numbers - 1).bit_length())


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [place])


def _load(builder: Any, pointer: Any, lanes: int) -> Any:
    vector = ir.VectorType(pointer.type.pointee, lanes)
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=8)


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=8)


def _spread(builder: Any, number: Any, lanes: int) -> Any:
    vector, index = ir.VectorType(number.type, lanes), ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, number, ir.Constant(index, 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))


def _in_place(operation: str) -> Callable[..., Any]:
    def typed(typing: Any, target: Any, place: Any, source: Any, origin: Any, width: Any) -> Any:  # noqa: PLR0917
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            to = _pointer(context, builder, kinds[0], arguments[0], arguments[1])
            of = _pointer(context, builder, kinds[2], arguments[2], arguments[3])
            old, change = (_load(builder, pointer, len(width)) for pointer in (to, of))
            _store(builder, getattr(builder, operation)(old, change), to)
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp, width), generate

    return typed


def _difference_square(  # noqa: PLR0917
    typing: Any, side: Any, place: Any, total: Any, rows: Any, part: Any, width: Any
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, lanes = signature.args, len(width)
        one = _load(builder, _pointer(context, builder, kinds[0], arguments[0], arguments[1]), lanes)
        whole = _load(builder, _pointer(context, builder, kinds[2], arguments[2], ir.Constant(_INTEGER, 0)), lanes)
        difference = builder.fsub(
            builder.fmul(_spread(builder, arguments[3], lanes), one),
            builder.fmul(_spread(builder, arguments[4], lanes), whole),
        )
        sums = builder.fmul(difference, difference)
        while lanes > 1:  # add the upper half to the lower, in this order on every machine
            lanes //= 2
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(first, first + lanes)))
                for first in (0, lanes)
            )
            sums = builder.fadd(builder.shuffle_vector(sums, sums, low), builder.shuffle_vector(sums, sums, high))
        return builder.extract_element(sums, ir.Constant(ir.IntType(32), 0))

    return types.float64(side, types.intp, total, types.float64, types.float64, width), generate


def _find_leaves(  # noqa: PLR0913, PLR0917
    typing: Any,
    block: Any,
    start: Any,
    features: Any,
    thresholds: Any,
    categorical: Any,
    first: Any,
    masks: Any,
    found: Any,
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def at(which: int, place: Any) -> Any:
            return _pointer(context, builder, signature.args[which], arguments[which], place)

        zero, whole = ir.Constant(_INTEGER, 0), ir.VectorType(_INTEGER, GROUP)
        nodes = context.make_array(signature.args[6])(context, builder, arguments[6]).nitems
        before = builder.block
        loop, done = builder.append_basic_block("nodes"), builder.append_basic_block("found")
        builder.branch(loop)
        builder.position_at_end(loop)
        node, open_leaves = builder.phi(_INTEGER), builder.phi(whole)
        place = builder.add(arguments[5], node)
        feature = builder.zext(builder.load(at(2, place)), _INTEGER)
        column = builder.add(arguments[1], builder.mul(feature, ir.Constant(_INTEGER, GROUP)))
        x = _load(builder, at(0, column), GROUP)
        threshold = _spread(builder, builder.load(at(3, place)), GROUP)
        right = builder.fcmp_ordered(">", x, threshold)
        if categorical != types.none:
            equality = builder.trunc(builder.load(at(4, place)), ir.IntType(1))
            equal = builder.fcmp_ordered("==", x, threshold)
            right = builder.select(_spread(builder, equality, GROUP), equal, right)
        mask = _spread(builder, builder.load(at(6, node)), GROUP)
        left_open = builder.select(right, builder.and_(open_leaves, mask), open_leaves)
        following = builder.add(node, ir.Constant(_INTEGER, 1))
        for phi, initial, value in (
            (node, zero, following),
            (open_leaves, ir.Constant(whole, [2**64 - 1] * GROUP), left_open),
        ):
            phi.add_incoming(initial, before)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, nodes), loop, done)
        builder.position_at_end(done)
        shape = ir.FunctionType(whole, [whole, ir.IntType(1)])
        name = f"llvm.cttz.v{GROUP}i64"
        trailing_zeros = builder.module.globals.get(name) or ir.Function(builder.module, shape, name)
        _store(builder, builder.call(trailing_zeros, [left_open, ir.Constant(ir.IntType(1), 1)]), at(7, zero))
        return context.get_dummy_value()

    kinds = (block, types.intp, features, thresholds, categorical, types.intp, masks, found)
    return types.void(*kinds), generate


add_lanes: Callable[..., None] = intrinsic(_in_place("fadd"))
"""``add_lanes(target, place, source, origin, width)``: W numbers of the source are added to W of the target."""

subtract_lanes: Callable[..., None] = intrinsic(_in_place("fsub"))
"""``subtract_lanes(target, place, source, origin, width)``: the same, subtracted."""

difference_square: Callable[..., float] = intrinsic(_difference_square)
"""``difference_square(side, place, total, rows, part, width)``: ``|rows side - part total|^2``, summed by halves."""

find_leaves: Callable[..., None] = intrinsic(_find_leaves)
"""``find_leaves(block, start, features, thresholds, categorical, first, masks, found)``: walk GROUP rows down a tree.

All nodes are asked, without a branch (Lucchese et al., QuickScorer, SIGIR 2015): each that sends a row right closes the
leaves to its left, and the row's leaf is the lowest that stays open.

block: [.., F, GROUP] features, transposed, from ``start`` on.
features, thresholds, categorical: of nodes, from ``first`` on; ``categorical`` is None where no node asks for equality.
masks: [nodes] uint64, the leaves that stay open where the node sends a row right; at most 64 leaves.
found: [GROUP] uint64, filled with the rows' leaves.
"""
