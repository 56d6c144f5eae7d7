"""Matrix products of small matrices, at the speed of a BLAS and with bits that depend on no library.

Each element of a product is one chain of fused multiply-adds in the order of the summed index. It is rounded the same
on every processor, whatever the size of the tiles that it is computed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from wormwood.compilation import inlined, kernel

__all__ = ["LANES", "multiply", "padded", "transpose"]

LANES = 8
"""Rows of a right-hand matrix, and of a product, take a multiple of so many numbers, with zeros behind them."""

_FLOAT, _INTEGER, _INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)


def padded(units: int) -> int:
    """Return how many numbers a row of so many units takes."""
    return -(-units // LANES) * LANES


def _tile(rows: int, lanes: int) -> Callable[..., None]:
    """Return what computes a tile of ``rows`` by ``lanes`` numbers of a product, in registers."""
    vector = ir.VectorType(_FLOAT, lanes)

    def typed(  # noqa: PLR0913, PLR0917
        typing: Any,
        left: Any,
        left_at: Any,
        left_row: Any,
        left_column: Any,
        right: Any,
        right_at: Any,
        right_row: Any,
        product: Any,
        product_at: Any,
        product_row: Any,
        start: Any,
        start_at: Any,
        start_row: Any,
        depth: Any,
    ) -> tuple[Any, Any]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def pointers(array: int, at: int, step: Any) -> list[Any]:
                data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
                first = builder.gep(data, [arguments[at]])
                return [builder.gep(first, [builder.mul(step, _INTEGER(row))]) for row in range(rows)]

            def load(pointer: Any) -> Any:
                return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)

            initial = [load(pointer) for pointer in pointers(10, 11, arguments[12])]
            right = pointers(4, 5, _INTEGER(0))[0]
            steps = arguments[3], arguments[6], arguments[13]
            sums = _add_products(builder, initial, pointers(0, 1, arguments[2]), right, *steps, load)
            for value, pointer in zip(sums, pointers(7, 8, arguments[9]), strict=True):
                builder.store(value, builder.bitcast(pointer, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        whole = types.intp
        kinds = (left, whole, whole, whole, right, whole, whole, product, whole, whole, start, whole, whole, whole)
        return types.void(*kinds), generate

    tile: Callable[..., None] = intrinsic(typed)
    return tile


def _add_products(  # noqa: PLR0917
    builder: Any,
    initial: list[Any],
    lefts: list[Any],
    right: Any,
    left_column: Any,
    right_row: Any,
    depth: Any,
    load: Callable[[Any], Any],
) -> list[Any]:
    """Build ``initial[m] + Σ_k left[m][k] right[k]`` for all rows m at once, as a loop of ``depth`` > 0 turns."""
    before, body, done = builder.block, builder.append_basic_block("turn"), builder.append_basic_block("done")
    builder.branch(body)
    builder.position_at_end(body)
    index, sums = builder.phi(_INTEGER), [builder.phi(value.type) for value in initial]
    row = load(builder.gep(right, [builder.mul(index, right_row)]))
    column = builder.mul(index, left_column)
    following = [
        _multiply_add(builder, builder.load(builder.gep(left, [column])), row, value)
        for left, value in zip(lefts, sums, strict=True)
    ]
    after = builder.add(index, _INTEGER(1))
    for phi, first, last in zip([index, *sums], [_INTEGER(0), *initial], [after, *following], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, body)
    builder.cbranch(builder.icmp_unsigned("<", after, depth), body, done)
    builder.position_at_end(done)
    return following


def _multiply_add(builder: Any, number: Any, row: Any, value: Any) -> Any:
    """Return ``value + number row``, rounded once."""
    lanes, name = row.type.count, f"llvm.fma.v{row.type.count}f32"
    undefined = ir.Constant(row.type, ir.Undefined)
    single = builder.insert_element(undefined, number, _INDEX(0))
    spread = builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes))
    shape = ir.FunctionType(row.type, [row.type] * 3)
    function = builder.module.globals.get(name) or ir.Function(builder.module, shape, name)
    return builder.call(function, [spread, row, value])


_eight_wide, _one_wide = _tile(8, 16), _tile(1, 16)
_eight_narrow, _one_narrow = _tile(8, 8), _tile(1, 8)


@kernel
def multiply(  # noqa: PLR0913, PLR0917
    left: Any,
    left_at: int,
    left_row: int,
    left_column: int,
    right: Any,
    right_at: int,
    right_row: int,
    product: Any,
    product_at: int,
    product_row: int,
    start: Any,
    start_at: int,
    start_row: int,
    rows: int,
    columns: int,
    depth: int,
) -> None:
    """Compute ``product[m, n] = start[m, n] + Σ_k left[m, k] right[k, n]`` of float32, for m < rows and k < depth.

    Matrices are places in flat arrays: element ``[i, j]`` of ``x`` is ``x[x_at + i x_row + j x_column]``, where columns
    are next to each other but for ``left``, which may so be transposed. With ``start_row`` 0, one row starts all.
    ``columns`` is a multiple of ``LANES``, ``depth`` is more than 0; nothing is checked.
    """
    column = 0
    while column < columns:
        wide = column + 16 <= columns
        row = 0
        while row < rows:
            of, to = left_at + row * left_row, product_at + row * product_row + column
            first, by = start_at + row * start_row + column, right_at + column
            if row + 8 <= rows:
                if wide:
                    _eight_wide(
                        left, of, left_row, left_column, right, by, right_row,
                        product, to, product_row, start, first, start_row, depth,
                    )  # fmt: skip
                else:
                    _eight_narrow(
                        left, of, left_row, left_column, right, by, right_row,
                        product, to, product_row, start, first, start_row, depth,
                    )  # fmt: skip
                row += 8
            else:
                if wide:
                    _one_wide(
                        left, of, left_row, left_column, right, by, right_row,
                        product, to, product_row, start, first, start_row, depth,
                    )  # fmt: skip
                else:
                    _one_narrow(
                        left, of, left_row, left_column, right, by, right_row,
                        product, to, product_row, start, first, start_row, depth,
                    )  # fmt: skip
                row += 1
        column += 16 if wide else 8


@inlined
def transpose(  # noqa: PLR0917
    source: Any, rows: int, columns: int, source_row: int, target: Any, target_row: int
) -> None:
    """Copy ``source[i, j]`` to ``target[j, i]``, both flat with so many numbers to a row, and zeros behind."""
    for j in range(columns):
        for i in range(rows):
            target[j * target_row + i] = source[i * source_row + j]
        for i in range(rows, target_row):
            target[j * target_row + i] = 0.0
