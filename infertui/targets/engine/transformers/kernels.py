"""Triton kernels for decode steps of Llama-like models.

A decode step at small batches reads every weight once and computes almost nothing, so its time is bytes over memory
bandwidth plus what lies between kernels. These kernels cut the latter to five a layer: norm with QKV projection,
rotary embedding with cache update and attention, output projection with residual, norm with gated MLP, down
projection with residual. Sums are kept in float32.

With EARLY a kernel starts while the one before it ends (programmatic dependent launch, compute capability 9.0): it
fetches its first weights, which nobody writes, and then waits for that kernel's results.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def matvec(
    x, weight, scale, norm, out, best_value, best_index, eps, columns,
    rows: tl.constexpr, SCALED: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, PICK: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """out[rows] = weight[rows, columns] @ rms_norm(x)[columns], or out += where RESIDUAL.

    Where SCALED the weights are int8 or float8, with scale[rows] to multiply each row by.
    With PICK nothing is written but each program's largest value and its first row, for `advance` to compare.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    start = weight + row[:, None].to(tl.int64) * columns + column[None, :]
    there = row[:, None] < rows
    tile = tl.load(start, there & (column < columns)[None, :], 0.0, eviction_policy="evict_first")
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    squares = tl.zeros([BLOCK], tl.float32)
    for first in range(0, columns, BLOCK):
        inside = first + column < columns
        value = tl.load(x + first + column, inside, 0.0).to(tl.float32)
        if NORM:
            squares += value * value
            value *= tl.load(norm + first + column, inside, 0.0).to(tl.float32)
        total += tile.to(tl.float32) * value[None, :]
        after = first + BLOCK
        more = (after + column < columns)[None, :]
        tile = tl.load(start + after, there & more, 0.0, eviction_policy="evict_first")
    result = tl.sum(total, 1)
    if NORM:
        result *= tl.rsqrt(tl.sum(squares) / columns + eps)
    if SCALED:
        result *= tl.load(scale + row, row < rows, 0.0).to(tl.float32)
    if PICK:
        # Rounded as the library's logits are, so that equal ones tie here, too; the first of them wins.
        rounded = tl.where(row < rows, result.to(x.dtype.element_ty).to(tl.float32), float("-inf"))
        value, index = tl.max(rounded, 0, return_indices=True, return_indices_tie_break_left=True)
        tl.store(best_value + tl.program_id(0), value)
        tl.store(best_index + tl.program_id(0), tl.program_id(0) * ROWS + index)
    else:
        if RESIDUAL:
            result = result.to(x.dtype.element_ty).to(tl.float32) + tl.load(out + row, row < rows, 0.0).to(tl.float32)
        tl.store(out + row, result.to(out.dtype.element_ty), row < rows)


@triton.jit
def gated_matvec(
    x, weight, scale, norm, out, eps, columns,
    rows: tl.constexpr, SCALED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """out[rows] = silu(gate) * up, where weight[2 * rows, columns] @ rms_norm(x) = [gate, up]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    gates = weight + row[:, None].to(tl.int64) * columns + column[None, :]
    ups = gates + tl.cast(rows, tl.int64) * columns
    there = row[:, None] < rows
    first_mask = there & (column < columns)[None, :]
    gate = tl.load(gates, first_mask, 0.0, eviction_policy="evict_first")
    up = tl.load(ups, first_mask, 0.0, eviction_policy="evict_first")
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
    gate_total = tl.zeros([ROWS, BLOCK], tl.float32)
    up_total = tl.zeros([ROWS, BLOCK], tl.float32)
    squares = tl.zeros([BLOCK], tl.float32)
    for first in range(0, columns, BLOCK):
        inside = first + column < columns
        value = tl.load(x + first + column, inside, 0.0).to(tl.float32)
        squares += value * value
        value *= tl.load(norm + first + column, inside, 0.0).to(tl.float32)
        gate_total += gate.to(tl.float32) * value[None, :]
        up_total += up.to(tl.float32) * value[None, :]
        after = first + BLOCK
        mask = there & (after + column < columns)[None, :]
        gate = tl.load(gates + after, mask, 0.0, eviction_policy="evict_first")
        up = tl.load(ups + after, mask, 0.0, eviction_policy="evict_first")
    shrink = tl.rsqrt(tl.sum(squares) / columns + eps)
    gate_sum = tl.sum(gate_total, 1) * shrink
    up_sum = tl.sum(up_total, 1) * shrink
    if SCALED:
        gate_sum *= tl.load(scale + row, row < rows, 0.0).to(tl.float32)
        up_sum *= tl.load(scale + rows + row, row < rows, 0.0).to(tl.float32)
    tl.store(out + row, (gate_sum * tl.sigmoid(gate_sum) * up_sum).to(out.dtype.element_ty), row < rows)


@triton.jit
def attend(
    qkv, cosines, sines, keys, values, filled, padding, out, part_max, part_sum, part_out, positions, scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD: tl.constexpr, SPLITS: tl.constexpr, BLOCK: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """Attention of one new token a sequence: rotates query and key, stores key and value, reads what is filled.

    qkv[batch, (HEADS + 2 * HEADS / GROUP) * HEAD], keys and values[batch, HEADS / GROUP, positions, HEAD], tables
    of cosines and sines[positions, HEAD]. `filled` positions of the cache hold earlier tokens, of which the first
    `padding[batch]` are none. Grid: batch, HEADS, SPLITS; with several splits `merge` puts their parts together.
    """
    sequence, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kv_heads: tl.constexpr = HEADS // GROUP
    kv_head = head // GROUP
    dtype = qkv.dtype.element_ty
    lane = tl.arange(0, HEAD)
    partner = (lane + HEAD // 2) % HEAD
    sign = tl.where(lane < HEAD // 2, -1.0, 1.0)
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
    end = tl.load(filled)
    begin = tl.load(padding + sequence)
    cosine = tl.load(cosines + (end - begin) * HEAD + lane).to(tl.float32)
    sine = tl.load(sines + (end - begin) * HEAD + lane).to(tl.float32)

    mine = qkv + sequence * (HEADS + 2 * kv_heads) * HEAD
    query = tl.load(mine + head * HEAD + lane).to(tl.float32) * cosine
    query += sign * tl.load(mine + head * HEAD + partner).to(tl.float32) * sine
    query = query.to(dtype).to(tl.float32)
    new = mine + (HEADS + kv_head) * HEAD
    new_key = tl.load(new + lane).to(tl.float32) * cosine + sign * tl.load(new + partner).to(tl.float32) * sine
    new_key = new_key.to(dtype)
    new_value = tl.load(new + kv_heads * HEAD + lane)
    cache = (sequence * kv_heads + kv_head).to(tl.int64) * positions * HEAD
    if (head % GROUP == 0) & (split == 0):
        tl.store(keys + cache + end * HEAD + lane, new_key)
        tl.store(values + cache + end * HEAD + lane, new_value)

    each = tl.cdiv(end - begin, SPLITS)
    low = begin + split * each
    high = tl.minimum(low + each, end)
    largest = tl.full([], float("-inf"), tl.float32)
    total = tl.full([], 0.0, tl.float32)
    result = tl.zeros([HEAD], tl.float32)
    if split == SPLITS - 1:  # the new token itself, which is not in the cache for sure yet
        largest = tl.sum(query * new_key.to(tl.float32)) * scale
        total += 1.0
        result = new_value.to(tl.float32)
    for first in range(low, high, BLOCK):
        position = first + tl.arange(0, BLOCK)
        there = position < high
        place = cache + position[:, None] * HEAD + lane[None, :]
        key = tl.load(keys + place, there[:, None], 0.0).to(tl.float32)
        value = tl.load(values + place, there[:, None], 0.0).to(tl.float32)
        score = tl.where(there, tl.sum(key * query[None, :], 1) * scale, float("-inf"))
        peak = tl.maximum(largest, tl.max(score, 0))
        weight = tl.exp(score - peak)
        shrink = tl.exp(largest - peak)
        total = total * shrink + tl.sum(weight, 0)
        result = result * shrink + tl.sum(value * weight[:, None], 0)
        largest = peak
    place = sequence * HEADS + head
    if SPLITS == 1:
        tl.store(out + place * HEAD + lane, (result / total).to(out.dtype.element_ty))
    else:
        part = place * SPLITS + split
        tl.store(part_max + part, largest)
        tl.store(part_sum + part, total)
        tl.store(part_out + part * HEAD + lane, result)


@triton.jit
def merge(
    part_max, part_sum, part_out, out, HEAD: tl.constexpr, SPLITS: tl.constexpr, EARLY: tl.constexpr
):  # fmt: skip
    """out[head] = the parts of `attend`, weighed. Grid: batch * heads. SPLITS is a power of two."""
    place = tl.program_id(0)
    split, lane = tl.arange(0, SPLITS), tl.arange(0, HEAD)
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
    largest = tl.load(part_max + place * SPLITS + split)
    weight = tl.exp(largest - tl.max(largest, 0))
    total = tl.sum(weight * tl.load(part_sum + place * SPLITS + split), 0)
    parts = tl.load(part_out + (place * SPLITS + split)[:, None] * HEAD + lane[None, :])
    result = tl.sum(parts * weight[:, None], 0) / total
    tl.store(out + place * HEAD + lane, result.to(out.dtype.element_ty))


@triton.jit
def advance(
    best_value, best_index, count, vocabulary, embedding, x, token, filled, outputs, columns,
    COUNT: tl.constexpr, COLUMNS: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """Choose the next token among the candidates of `matvec`, note it, and look up its embedding. One program."""
    candidate = tl.arange(0, COUNT)
    if EARLY:
        gdc_wait()
    value = tl.load(best_value + candidate, candidate < count, float("-inf"))
    index = tl.load(best_index + candidate, candidate < count, 2147483647)
    chosen = tl.min(tl.where(value == tl.max(value, 0), index, 2147483647), 0)
    chosen = tl.minimum(chosen, vocabulary - 1).to(tl.int64)  # where all are not-a-number, none is the largest
    position = tl.load(filled) + 1
    tl.store(token, chosen)
    tl.store(outputs + position, chosen)
    column = tl.arange(0, COLUMNS)
    tl.store(x + column, tl.load(embedding + chosen * columns + column, column < columns), column < columns)
    tl.debug_barrier()
    tl.store(filled, position)


@triton.jit
def rms_norm(x, weight, out, eps, columns, COLUMNS: tl.constexpr):
    """out[row] = rms_norm(x[row]) * weight. Grid: rows."""
    row = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    inside = column < columns
    value = tl.load(x + row * columns + column, inside, 0.0).to(tl.float32)
    value *= tl.rsqrt(tl.sum(value * value, 0) / columns + eps)
    value = value.to(out.dtype.element_ty).to(tl.float32) * tl.load(weight + column, inside, 0.0).to(tl.float32)
    tl.store(out + row * columns + column, value.to(out.dtype.element_ty), inside)


@triton.jit
def silu_multiply(x, out, columns, BLOCK: tl.constexpr):
    """out[row] = silu(x[row, :columns]) * x[row, columns:]. Grid: rows, blocks of columns."""
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    gate = tl.load(x + row * 2 * columns + column, inside, 0.0).to(tl.float32)
    up = tl.load(x + row * 2 * columns + columns + column, inside, 0.0).to(tl.float32)
    tl.store(out + row * columns + column, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), inside)
