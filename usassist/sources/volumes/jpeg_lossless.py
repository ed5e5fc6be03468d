"""Decode lossless JPEG of one component and up to 16 bits (ITU-T T.81, process 14, annex H), as CT archives use it.

Codes of a bit stream depend on all before them, so they are usually decoded one by one. Here the code that would begin
at each bit is looked up for all bits at once; then only the chain of those that do begin there is followed, which is
one list access per voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["JpegLosslessError", "decode_jpeg_lossless"]

Int64Array = npt.NDArray[np.int64]

_SOF3, _DHT, _SOS, _DRI, _EOI = 0xC3, 0xC4, 0xDA, 0xDD, 0xD9
_CHUNK_BYTES = 1 << 16
_LOOK_AHEAD = 8  # bytes beyond a chunk that its last code may need
_WORD = 0xFFFF


class JpegLosslessError(ValueError):
    """The bytes are no lossless JPEG of one component."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """What the markers say.

    Attributes
    ----------
    lengths, sizes : int64 (65536,), for each 16 bits the length of the code that they begin with (0 = none), and the
        number of bits of the difference that follows
    shift : point transform
    rows_per_restart : 0 = there are no restarts
    data : entropy-coded bytes, one part for each restart
    """

    bits: int
    rows: int
    columns: int
    predictor: int
    shift: int
    rows_per_restart: int
    lengths: Int64Array
    sizes: Int64Array
    data: list[bytes]


def decode_jpeg_lossless(data: bytes) -> npt.NDArray[np.uint16]:
    """Decode one image.

    Parameters
    ----------
    data : the code stream, SOI to EOI

    Returns
    -------
    values : uint16 (rows, columns)

    Raises
    ------
    JpegLosslessError
        If it is damaged, incomplete, or another kind of JPEG.
    """
    stream = _read_markers(data)
    if stream.rows * stream.columns > 8 * sum(map(len, stream.data)):  # a voxel takes one bit at least
        raise JpegLosslessError("it breaks off")
    values = np.empty((stream.rows, stream.columns), np.int64)
    step = stream.rows_per_restart or stream.rows
    starts = range(0, stream.rows, step)
    if len(stream.data) < len(starts):
        raise JpegLosslessError("it breaks off")
    for start, part in zip(starts, stream.data, strict=False):
        rows = min(step, stream.rows - start)
        differences = _differences(stream, part, rows * stream.columns).reshape(rows, stream.columns)
        _undo(stream, differences, values[start : start + rows])
    return np.asarray((values << stream.shift) & _WORD, np.uint16)


def _read_markers(data: bytes) -> _Stream:
    if not data.startswith(b"\xff\xd8"):
        raise JpegLosslessError("it does not begin as JPEG")
    frame, restart = b"", 0
    tables: dict[int, bytes] = {}
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        mark = data[position + 1]
        if mark == 0xFF:  # a fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        position += 2 + length
        if length < 2 or len(body) != length - 2:
            break
        if mark == _SOF3:
            frame = body
        elif 0xC0 <= mark <= 0xCF and mark != _DHT:
            raise JpegLosslessError("it is another kind of JPEG")
        elif mark == _DHT:
            _add_tables(body, tables)
        elif mark == _DRI and length == 4:
            restart = int.from_bytes(body, "big")
        elif mark == _SOS:
            return _make_stream(frame, body, tables, restart, data[position:])
    raise JpegLosslessError("it breaks off before its image")


def _make_stream(frame: bytes, scan: bytes, tables: dict[int, bytes], restart: int, data: bytes) -> _Stream:
    if len(frame) != 9 or frame[5] != 1 or len(scan) != 6 or scan[0] != 1:
        raise JpegLosslessError("it has no frame of one component")
    bits, rows, columns = frame[0], int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    predictor, shift = scan[3], scan[5] & 15
    table = tables.get(scan[2] >> 4)
    if not 2 <= bits <= 16 or not rows or not columns or not 1 <= predictor <= 7 or shift >= bits or table is None:
        raise JpegLosslessError("its markers contradict each other")
    if restart % columns:
        raise JpegLosslessError("it restarts inside a row")  # T.81 H.1.1 allows whole rows alone
    lengths, sizes = _look_up(table)
    return _Stream(
        bits=bits,
        rows=rows,
        columns=columns,
        predictor=predictor,
        shift=shift,
        rows_per_restart=restart // columns,
        lengths=lengths,
        sizes=sizes,
        data=_parts(data),
    )


def _add_tables(body: bytes, tables: dict[int, bytes]) -> None:
    position = 0
    while position + 17 <= len(body):
        count = sum(body[position + 1 : position + 17])
        tables[body[position] & 15] = body[position + 1 : position + 17 + count]
        position += 17 + count


def _look_up(table: bytes) -> tuple[Int64Array, Int64Array]:
    """Code lengths and symbols by the next 16 bits (T.81 C.2)."""
    lengths, sizes = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
    counts, symbols = table[:16], table[16:]
    code, used = 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            first, last = code << (16 - length), (code + 1) << (16 - length)
            if used >= len(symbols) or last > 1 << 16 or symbols[used] > 16:
                raise JpegLosslessError("its table of codes is damaged")
            lengths[first:last], sizes[first:last] = length, symbols[used]
            code, used = code + 1, used + 1
        code <<= 1
    return lengths, sizes


def _parts(data: bytes) -> list[bytes]:
    """Split at restart markers, up to the first other marker, and take stuffed zeros out."""
    raw = np.frombuffer(data, np.uint8)
    marks = np.flatnonzero((raw[:-1] == 0xFF) & (raw[1:] != 0) & (raw[1:] != 0xFF))
    cuts = [0]
    for at in marks.tolist():
        cuts.append(at)
        if not 0xD0 <= data[at + 1] <= 0xD7:
            break
    else:
        cuts.append(len(data))  # no EOI: the codes decide whether it is complete
    parts = [data[cuts[0] : cuts[1]], *(data[start + 2 : stop] for start, stop in pairwise(cuts[1:]))]
    return [part.replace(b"\xff\x00", b"\xff") for part in parts]


def _differences(stream: _Stream, data: bytes, count: int) -> Int64Array:
    """The first `count` differences of a part."""
    padded = np.frombuffer(data + b"\xff" * (_LOOK_AHEAD + 4), np.uint8).astype(np.int64)
    found: list[Int64Array] = []
    position, left = 0, count  # of the next code, in bits
    while left and position < 8 * len(data):
        first = position >> 3
        words = _words(padded[first : first + _CHUNK_BYTES + _LOOK_AHEAD])
        lengths, sizes = stream.lengths[words], stream.sizes[words]
        extra = np.where(sizes == 16, 0, sizes)
        follow = (np.arange(words.size) + lengths + extra).tolist()
        stop = min(8 * _CHUNK_BYTES, 8 * (len(data) - first))
        at, chain = position - 8 * first, []
        while at < stop and left:
            chain.append(at)
            at, left = follow[at], left - 1
        where = np.array(chain, np.int64)
        if not lengths[where].all() or at > words.size:
            raise JpegLosslessError("it holds a code that is none")
        found.append(_values(words, where + lengths[where], sizes[where], extra[where]))
        position = 8 * first + at
    if left or position > 8 * len(data):
        raise JpegLosslessError("it breaks off")
    return np.concatenate(found)


def _words(data: Int64Array) -> Int64Array:
    """The 16 bits that begin at each bit."""
    three = (data[:-2] << 16) | (data[1:-1] << 8) | data[2:]
    return np.asarray(((three[:, None] >> np.arange(8, 0, -1)) & _WORD).reshape(-1))


def _values(words: Int64Array, where: Int64Array, sizes: Int64Array, extra: Int64Array) -> Int64Array:
    """Differences by their bits (T.81 table H.2)."""
    bits = words[np.minimum(where, words.size - 1)] >> (16 - extra)
    half = np.where(sizes > 0, 1 << np.maximum(sizes - 1, 0), 0)
    values = np.where(bits < half, bits - (1 << extra) + 1, bits)
    return np.asarray(np.where(sizes == 16, 1 << 15, values))


def _undo(stream: _Stream, differences: Int64Array, out: Int64Array) -> None:
    """Add predictions (T.81 table H.1), modulo 65536."""
    first = differences[0].copy()
    first[0] += 1 << (stream.bits - stream.shift - 1)
    out[0] = np.cumsum(first) & _WORD
    if stream.predictor == 1:
        differences[:, 0] = np.cumsum(np.concatenate([out[0, :1], differences[1:, 0]]))
        out[1:] = np.cumsum(differences[1:], axis=1) & _WORD
    elif stream.predictor in (2, 4):
        steps = np.cumsum(differences[1:], axis=1) if stream.predictor == 4 else differences[1:]
        out[1:] = (out[0] + np.cumsum(steps, axis=0)) & _WORD
    else:
        for row in range(1, len(out)):
            out[row] = _undo_row(stream.predictor, out[row - 1], differences[row])


def _undo_row(predictor: int, above: Int64Array, differences: Int64Array) -> npt.NDArray[Any]:
    left = int(above[0] + differences[0]) & _WORD
    if predictor == 3:
        return np.concatenate([[left], (above[:-1] + differences[1:]) & _WORD])
    if predictor == 5:
        steps = (np.diff(above) >> 1) + differences[1:]
        return np.concatenate([[left], (left + np.cumsum(steps)) & _WORD])
    row = [left]
    corner = int(above[0])
    for up, difference in zip(above[1:].tolist(), differences[1:].tolist(), strict=True):
        guess = up + ((left - corner) >> 1) if predictor == 6 else (left + up) >> 1
        left, corner = (guess + difference) & _WORD, up
        row.append(left)
    return np.array(row, np.int64)
