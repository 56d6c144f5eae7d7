"""Vector operations for kernels, as LLVM instructions: Numba leaves such short loops scalar, or checks for overlap.

Each takes arrays that are contiguous, and places as element indices from their beginnings; it checks neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["GROUP", "Lanes", "add_lanes", "difference_square", "find_leaves", "lanes_of", "subtract_leaves"]

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


def _add_lanes(  # noqa: PLR0917
    typing: Any, target: Any, place: Any, source: Any, origin: Any, width: Any
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        to = _pointer(context, builder, kinds[0], arguments[0], arguments[1])
        of = _pointer(context, builder, kinds[2], arguments[2], arguments[3])
        old, change = (_load(builder, pointer, len(width)) for pointer in (to, of))
        _store(builder, builder.fadd(old, change), to)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, width), generate


def _subtract_leaves(  # noqa: PLR0913, PLR0917
    typing: Any, target: Any, place: Any, leaves: Any, found: Any, origin: Any, step: Any, count: Any, width: Any
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, lanes = signature.args, len(width)
        to = _pointer(context, builder, kinds[0], arguments[0], arguments[1])
        old = _load(builder, to, lanes)
        loop = _Loop(builder, arguments[6], old)
        at = builder.add(arguments[4], builder.mul(loop.index, arguments[5]))
        leaf = builder.load(_pointer(context, builder, kinds[3], arguments[3], at))
        of = _pointer(context, builder, kinds[2], arguments[2], builder.mul(leaf, ir.Constant(_INTEGER, lanes)))
        loop.close(builder.fsub(loop.value, _load(builder, of, lanes)))
        _store(builder, loop.result, to)
        return context.get_dummy_value()

    kinds = (target, types.intp, leaves, found, types.intp, types.intp, types.intp, width)
    return types.void(*kinds), generate


class _Loop:
    """A loop of at least one turn that carries a value, built where the builder stands."""

    def __init__(self, builder: Any, turns: Any, initial: Any) -> None:
        self._builder, self._turns = builder, turns
        before, self._body = builder.block, builder.append_basic_block("turn")
        builder.branch(self._body)
        builder.position_at_end(self._body)
        self.index, self.value = builder.phi(_INTEGER), builder.phi(initial.type)
        self.index.add_incoming(ir.Constant(_INTEGER, 0), before)
        self.value.add_incoming(initial, before)

    def close(self, following: Any) -> None:
        """End the loop's body with the value of the next turn, which is the result after the last."""
        builder, self.result = self._builder, following
        index = builder.add(self.index, ir.Constant(_INTEGER, 1))
        self.index.add_incoming(index, self._body)
        self.value.add_incoming(following, self._body)
        done = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_unsigned("<", index, self._turns), self._body, done)
        builder.position_at_end(done)


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
    tree: Any,
    masks: Any,
    found: Any,
    place: Any,
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def at(which: int, element: Any) -> Any:
            return _pointer(context, builder, signature.args[which], arguments[which], element)

        nodes = context.make_array(signature.args[6])(context, builder, arguments[6]).nitems
        whole = ir.VectorType(_INTEGER, GROUP)
        first = builder.mul(arguments[5], nodes)
        loop = _Loop(builder, nodes, ir.Constant(whole, [2**64 - 1] * GROUP))
        node = builder.add(first, loop.index)
        feature = builder.zext(builder.load(at(2, node)), _INTEGER)
        column = builder.add(arguments[1], builder.mul(feature, ir.Constant(_INTEGER, GROUP)))
        x = _load(builder, at(0, column), GROUP)
        threshold = _spread(builder, builder.load(at(3, node)), GROUP)
        right = builder.fcmp_ordered(">", x, threshold)
        if categorical != types.none:
            equality = builder.trunc(builder.load(at(4, node)), ir.IntType(1))
            equal = builder.fcmp_ordered("==", x, threshold)
            right = builder.select(_spread(builder, equality, GROUP), equal, right)
        mask = _spread(builder, builder.load(at(6, loop.index)), GROUP)
        loop.close(builder.select(right, builder.and_(loop.value, mask), loop.value))
        shape, name = ir.FunctionType(whole, [whole, ir.IntType(1)]), f"llvm.cttz.v{GROUP}i64"
        trailing_zeros = builder.module.globals.get(name) or ir.Function(builder.module, shape, name)
        lowest = builder.call(trailing_zeros, [loop.result, ir.Constant(ir.IntType(1), 1)])
        earlier = _spread(builder, builder.add(first, arguments[5]), GROUP)  # leaves of the trees before this one
        _store(builder, builder.add(lowest, earlier), at(7, arguments[8]))
        return context.get_dummy_value()

    kinds = (block, types.intp, features, thresholds, categorical, types.intp, masks, found, types.intp)
    return types.void(*kinds), generate


add_lanes: Callable[..., None] = intrinsic(_add_lanes)
"""``add_lanes(target, place, source, origin, width)``: W numbers of the source are added to W of the target."""

subtract_leaves: Callable[..., None] = intrinsic(_subtract_leaves)
"""``subtract_leaves(target, place, leaves, found, origin, step, count, width)``.

The W numbers of each leaf ``found[origin + i step]``, for i from 0 to count - 1 and count > 0, are subtracted in this
order from W of the target.
"""

difference_square: Callable[..., float] = intrinsic(_difference_square)
"""``difference_square(side, place, total, rows, part, width)``: ``|rows side - part total|^2``, summed by halves."""

find_leaves: Callable[..., None] = intrinsic(_find_leaves)
"""``find_leaves(block, start, features, thresholds, categorical, tree, masks, found, place)``: walk GROUP rows down.

All nodes are asked, without a branch (Lucchese et al., QuickScorer, SIGIR 2015): each that sends a row right closes the
leaves to its left, and the row's leaf is the lowest that stays open.

block: [.., F, GROUP] features, transposed, from ``start`` on.
features, thresholds, categorical: [K, nodes]; ``categorical`` is None where no node asks for equality.
masks: [nodes] uint64, the leaves that stay open where the node sends a row right; at most 64 leaves.
found: uint64, of which GROUP from ``place`` on are filled with the rows' leaves, counted over all trees.
"""
