"""The checksum of an OpenIGTLink body: CRC-64 of ECMA-182, most significant bit first, no inversion.

A message is a polynomial over GF(2). Its 64-bit words are folded onto a row of 2048 words: the row so far, times
x^(64 * 2048), plus the next row. Each product is four look-ups per word, for the whole row at once. The row that is
left is folded in half until one word remains. A frame of 1280 x 720 px takes about 1 ms, without a library.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["crc64"]

Words = npt.NDArray[np.uint64]

_POLYNOMIAL = 0x42F0E1EBA9EA3693
_MASK = (1 << 64) - 1
_LANES = 2048
_ROW_BYTES = 8 * _LANES
_SHORT_BYTES = 64  # up to here a loop over the bytes is faster


def crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """Checksum of bytes.

    Parameters
    ----------
    data : contiguous
    crc : of the bytes before; ``crc64(b, crc64(a))`` is the checksum of ``a + b``
    """
    view = memoryview(data).cast("B")
    if len(view) <= _SHORT_BYTES:
        table = _byte_table()
        for byte in view:
            crc = ((crc << 8) & _MASK) ^ table[(crc >> 56) ^ byte]
        return crc
    lanes = _LANES if len(view) >= _ROW_BYTES else 1 << (-(-len(view) // 8) - 1).bit_length()
    row_bytes = 8 * lanes
    # The first bytes fill up whole rows, with zeros before them, which do not count; the checksum so far is added to
    # the first eight bytes.
    head = len(view) % row_bytes
    head += row_bytes if head < 8 else 0
    first = np.zeros(-(-head // row_bytes) * row_bytes, np.uint8)
    first[len(first) - head :] = view[:head]
    start = len(first) - head
    first[start : start + 8] ^= np.frombuffer(crc.to_bytes(8, "big"), np.uint8)
    rows = [*first.view(">u8").reshape(-1, lanes), *np.frombuffer(view, ">u8", offset=head).reshape(-1, lanes)]
    total = rows[0].astype(np.uint64)
    if len(rows) > 1:
        tables = _tables(64 * lanes, 16)
        for row in rows[1:]:
            total = _times(total, tables) ^ row
    while len(total) > 1:
        half = len(total) // 2
        total = _times(total[:half], _tables(64 * half, 8)) ^ total[half:]
    return int(_times(total, _tables(64, 8))[0])


def _times(words: Words, tables: Words) -> Words:
    """Words times the power of x that the tables belong to, modulo the polynomial."""
    words = np.ascontiguousarray(words)
    pieces = words.view(np.uint16 if len(tables) == 4 else np.uint8).reshape(len(words), len(tables))
    product: Words = tables[0].take(pieces[:, 0], mode="clip")
    part = np.empty_like(words)
    for number in range(1, len(tables)):
        tables[number].take(pieces[:, number], out=part, mode="clip")
        product ^= part
    return product


@cache
def _tables(power: int, bits: int) -> Words:
    """Products of x^power with every value of each piece of a word, from the least significant: (64 / bits, 2^bits)."""
    tables = np.zeros((64 // bits, 1 << bits), np.uint64)
    value = _power_of_x(power)
    for table in tables:
        for bit in range(bits):
            table[1 << bit : 2 << bit] = table[: 1 << bit] ^ np.uint64(value)
            value = _times_x(value)
    return tables if np.little_endian else np.ascontiguousarray(tables[::-1])


@cache
def _byte_table() -> tuple[int, ...]:
    return tuple(int(value) for value in _tables(64, 8)[0 if np.little_endian else -1])


def _times_x(value: int) -> int:
    return ((value << 1) & _MASK) ^ (_POLYNOMIAL if value >> 63 else 0)


def _power_of_x(power: int) -> int:
    """x^power modulo the polynomial, by squaring."""
    result, square = 1, 2
    while power:
        if power & 1:
            result = _product(result, square)
        square, power = _product(square, square), power >> 1
    return result


def _product(one: int, other: int) -> int:
    total = 0
    while other:
        total ^= one if other & 1 else 0
        one, other = _times_x(one), other >> 1
    return total
