"""Messages of ours, and what becomes of them when somebody or something spoils them. All from one seed."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Iterator

from tests.samples import CALIBRATED_ENGINE, DESCRIBED, LIVE_SESSION, SESSION, make_frame, make_result
from usassist.bus import TOPICS, ControlAction, ControlBody, ControlState, HealthBody, MarkBody, MarkKind, StageBody
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.records import ResultState

__all__ = ["good_messages", "spoilt_messages"]

_NUMBERS = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999", b"1e308", b"-0", b"-0.0", b"0.5", b"true"),
    *(
        str(sign * 2**bits + more).encode()
        for bits in (31, 32, 62, 63, 64, 200, 1000)
        for sign in (1, -1)
        for more in (-1, 0)
    ),
    *(b"0x10", b"01", b"1_000", b"9" * 5000),
]
_OTHERS = [
    *(
        b"null",
        b"[]",
        b"{}",
        b'""',
        b"[null]",
        b"[[[[[[]]]]]]",
        b'{"a":{"a":{}}}',
        b'"\\ud800"',
        b'"\\u0000"',
        b'"' + b"x" * 30000 + b'"',
    ),
    *(
        b'"\xff\xfe"',
        b'"uint8"',
        b"[0,0,0,0]",
        b"[1,1]",
        b"[1099511627776,1048576]",
        b"[0,4611686018427387904]",
        b"[-1,-1]",
    ),
    *(
        b"[1,1,1,1,1,1]",
        b"[" + b"0," * 20000 + b"0]",
        b"[0,9223372036854775807,9223372036854775807]",
        b"[0,1180591620717411303424]",
    ),
]
_BOMBS = [
    *(b"[" * depth for depth in (100, 2000, 60000)),
    *(b"[" * depth + b"]" * depth for depth in (100, 2000, 30000)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (100, 2000, 10000)),
    b"[" + b"{}," * 20000 + b"{}]",
    b'{"' + b'":0,"'.join(str(i).encode() for i in range(8000)) + b'":0}',
]
_TOPICS = [
    *(
        b"",
        b"\n",
        b"/",
        b"frame",
        b"frame/v1/us0",
        b"frame/v1/us0/x/",
        b"frame/v1//",
        b"frame/v1/us1/",
        b"FRAME/v1/us0/",
    ),
    *(
        b"frame/v2/us0/",
        b"result/v0/us0/",
        b"result/v/us0/",
        b"result/v-1/us0/",
        b"result/v1.0/us0/",
        b"engine/v" + b"9" * 90 + b"/us0/",
    ),
    *(b"health/v\x1b[31m/us0/", b"session/v\xc3\xa9/us0/", b"../v1/us0/", b"mark/v1/" + b"u" * 200 + b"/", bytes(64)),
]


def good_messages() -> list[bytes]:
    """One or more of every topic, small."""
    stage = StageBody(count=3, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0, max_ms=4.0)
    health = HealthBody(
        process="stream",
        frames=3,
        answered=2,
        dropped=1,
        by_state={"finding": 2},
        rate_hz=30.0,
        latency_p50_ms=3.0,
        latency_p95_ms=None,
        stages={"infer": stage},
    )
    mark = MarkBody(session_id=SESSION.session_id, frame_id=4, kind=MarkKind.WRONG, t_mark_ns=9)
    control = ControlBody(
        request_id="r", action=ControlAction.RECORD, value="on", t_control_ns=9, state=ControlState.ASKED, sender="page"
    )
    events = {"engine": CALIBRATED_ENGINE, "session": LIVE_SESSION, "health": health, "mark": mark, "control": control}
    frames = [
        make_frame(3, (8, 12)),
        make_frame(3, (8, 12), 3, spacing_rc_mm=(0.1, 0.2), spacing_rel_sd=0.01, pts=5, text_xyxy_px=((1, 1, 2, 2),)),
    ]
    results = [make_result(3, state) for state in ResultState] + [make_result(4, descriptors=DESCRIBED)]
    return [
        *(bytes(encode(TOPICS[name], "us0", 7, 9, body, {})) for name, body in events.items()),
        *(bytes(encode_frame(frame, 7, 9)) for frame in frames),
        *(bytes(encode_result(result, 7, 9)) for result in results),
    ]


def spoilt_messages(seed: int) -> Iterator[bytes]:
    """Without end; the same for the same seed."""
    dice = random.Random(seed)
    good = good_messages()
    kinds: list[Callable[[random.Random, bytes], bytes]] = [
        *(_flip_bits, _flip_bits, _cut, _lie_about_length, _other_topic, _other_value, _other_value, _other_value),
        *(_drop_key, _double_key, _bomb, _other_shape, _other_dtype, _other_payload, _graft, _noise),
    ]
    while True:
        data = dice.choice(kinds)(dice, dice.choice(good))
        if dice.random() < 0.2:
            data = dice.choice(kinds)(dice, data) if _has_header(data) else _flip_bits(dice, data)
        yield data


def _flip_bits(dice: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        if spoilt:
            end = len(spoilt) if dice.random() < 0.5 else min(len(spoilt), 400)  # most of what is read is in the head
            spoilt[dice.randrange(end)] ^= 1 << dice.randrange(8)
    return bytes(spoilt)


def _cut(dice: random.Random, data: bytes) -> bytes:
    if dice.random() < 0.3:
        return data + dice.randbytes(dice.choice((1, 63, 64, 500)))
    return data[: dice.randrange(len(data) + 1)]


def _lie_about_length(dice: random.Random, data: bytes) -> bytes:
    start = data.index(b"\n") + 1
    length = dice.choice((0, 1, 2**16, 2**16 + 1, 2**31, 2**32 - 1, dice.randrange(4000)))
    return data[:start] + struct.pack("<I", length) + data[start + 4 :]


def _other_topic(dice: random.Random, data: bytes) -> bytes:
    end = data.index(b"\n")
    if dice.random() < 0.5:
        parts = data[:end].split(b"/")
        parts[0] = dice.choice(list(TOPICS)).encode()
        return b"/".join(parts) + data[end:]
    return dice.choice(_TOPICS) + data[end:]


def _other_value(dice: random.Random, data: bytes) -> bytes:
    head, header, tail = _parts(data)
    places = [found.end() for found in re.finditer(b'":', header)]
    if not places:
        return data
    start = dice.choice(places)
    try:
        _, length = json.JSONDecoder().raw_decode(header[start:].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        length = 1
    value = dice.choice(_NUMBERS if dice.random() < 0.6 else _OTHERS)
    return _join(head, header[:start] + value + header[start + length :], tail)


def _drop_key(dice: random.Random, data: bytes) -> bytes:
    head, header, tail = _parts(data)
    commas = [found.start() for found in re.finditer(b",", header)]
    if len(commas) < 2:
        return data
    one = dice.randrange(len(commas) - 1)
    return _join(head, header[: commas[one]] + header[commas[one + 1] :], tail)


def _double_key(dice: random.Random, data: bytes) -> bytes:
    head, header, tail = _parts(data)
    extra = dice.choice(
        (b'"seq":1', b'"body":{}', b'"buffers":[]', b'"version":[1,0]', b'"schema":"x"', b'"source_id":"us0"')
    )
    return _join(
        head, header[:-1] + b"," + extra + b"}" if dice.random() < 0.5 else b"{" + extra + b"," + header[1:], tail
    )


def _bomb(dice: random.Random, data: bytes) -> bytes:
    head, header, tail = _parts(data)
    bomb = dice.choice(_BOMBS)
    at = header.find(b'"body":')
    if dice.random() < 0.3 or at < 0:
        return _join(head, bomb, tail)
    if dice.random() < 0.5:
        return _join(head, header[: at + 8] + b'"unknown":' + bomb + b"," + header[at + 8 :], tail)
    return _join(head, header[: at + 7] + bomb + b"," + header[at + 7 :], tail)


def _other_shape(dice: random.Random, data: bytes) -> bytes:
    sides = (0, 1, 3, 4, 8, 12, 96, 288, -1, 2**20, 2**31, 2**32, 2**62, 2**63, 2**64, 2**200)
    shape = ",".join(str(dice.choice(sides)) for _ in range(dice.randint(0, 6)))
    return _replace(dice, data, b'"shape":[', b"]", shape.encode())


def _other_dtype(dice: random.Random, data: bytes) -> bytes:
    names = (
        b"object",
        b"O",
        b"|O",
        b"float64",
        b"int32",
        b"uint8",
        b"float32",
        b"bool",
        b"M8[ns]",
        b"V9",
        b"",
        b"<f4",
        b"uint8\\u0000",
    )
    return _replace(dice, data, b'"dtype":"', b'"', dice.choice(names))


def _other_payload(dice: random.Random, data: bytes) -> bytes:
    start = -(-(len(data) - len(_parts(data)[2])) // 64) * 64
    if start + 4 > len(data):
        return data
    at = start + 4 * dice.randrange((len(data) - start) // 4)
    values = (float("nan"), float("inf"), -float("inf"), -1.0, 3e38, 1e-45)
    new = (
        struct.pack("<f", dice.choice(values))
        if dice.random() < 0.7
        else struct.pack("<i", dice.choice((-1, 2**31 - 1, 5)))
    )
    return data[:at] + new + data[at + 4 :]


def _graft(dice: random.Random, data: bytes) -> bytes:
    other = dice.choice(good_messages() if dice.random() < 0.02 else [data[::-1], data])
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other) + 1) :]


def _noise(dice: random.Random, data: bytes) -> bytes:
    return data[: data.index(b"\n") + 1] + dice.randbytes(dice.randrange(600))


def _replace(dice: random.Random, data: bytes, before: bytes, after: bytes, new: bytes) -> bytes:
    head, header, tail = _parts(data)
    pieces = header.split(before)
    if len(pieces) < 2:
        return data
    at = dice.randrange(1, len(pieces))
    pieces[at] = new + pieces[at][max(0, pieces[at].find(after)) :]
    return _join(head, before.join(pieces), tail)


def _has_header(data: bytes) -> bool:
    return 0 < data.find(b"\n") < len(data) - 5 and bool(_parts(data)[1])


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Topic line, header, buffers."""
    start = data.index(b"\n") + 1
    (length,) = struct.unpack_from("<I", data, start)
    end = min(start + 4 + length, len(data))
    return data[:start], data[start + 4 : end], data[-(-end // 64) * 64 :]


def _join(head: bytes, header: bytes, tail: bytes) -> bytes:
    message = head + struct.pack("<I", len(header)) + header
    return message + bytes(-len(message) % 64) + tail
