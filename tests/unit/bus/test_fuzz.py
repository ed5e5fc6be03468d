"""Whatever comes over a socket, reading raises our errors or nothing, and makes no room for what is only claimed."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable

import pytest
import zmq

from tests.samples import make_frame, make_result
from tests.unit.bus.mutations import good_messages, spoilt_messages
from usassist.bus import Message, Subscriber, decode, frame_from, peek_topic, result_from
from usassist.bus.address import endpoint
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.errors import MessageError, SchemaVersionError

_FACTOR = 10
_ALWAYS_BYTES = 16384  # for an error and its text, whatever the length


def test_the_messages_that_are_spoilt_are_good_before() -> None:
    assert Counter(_read_all(good_messages())) == {"read": len(good_messages())}


def test_spoilt_messages_are_refused_and_nothing_else_happens() -> None:
    seen = Counter(_read_all(itertools.islice(spoilt_messages(seed=1), 20_000)))
    assert min(seen["MessageError"], seen["SchemaVersionError"], seen["read"]) > 0


@pytest.mark.slow
def test_a_hundred_thousand_spoilt_messages_are_refused_and_nothing_else_happens() -> None:
    seen = Counter(_read_all(itertools.islice(spoilt_messages(seed=2), 100_000)))
    assert sum(seen.values()) == 100_000


def test_reading_takes_a_few_times_the_message_s_own_size_at_most() -> None:
    messages = list(itertools.islice(spoilt_messages(seed=3), 3_000))
    messages += [_with_buffers(f'{{"name":"{i}","dtype":"uint8","shape":[0]}}' for i in range(1200))]
    messages += [_with_buffers(['{"name":"a","dtype":"uint8","shape":[' + ",".join("0" * 30_000) + "]}"])]
    tracemalloc.start(1)
    try:
        for data in messages:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            _read(data)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before <= _FACTOR * len(data) + _ALWAYS_BYTES, data[:200]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("depth", [1_000, 30_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_in_json_without_end_is_a_message_error(depth: int, opening: bytes) -> None:
    bomb = (opening * depth)[:60_000]
    with pytest.raises(MessageError):
        decode(b"session/v1/us0/\n" + len(bomb).to_bytes(4, "little") + bomb)


@pytest.mark.parametrize(
    "shape", ["[0,9223372036854775807,9]", "[9,0,4611686018427387904]", "[0,1180591620717411303424]"]
)
def test_an_empty_array_with_an_endless_side_is_a_message_error(shape: str) -> None:
    with pytest.raises(MessageError, match=r"impossible shape|cannot be read"):
        decode(_with_buffers([f'{{"name":"a","dtype":"uint8","shape":{shape}}}']))


@pytest.mark.parametrize("field", ["seq", "t_publish_ns", "frame_id", "t_capture_ns", "frames_dropped"])
def test_a_number_that_fits_nowhere_is_a_message_error(field: str) -> None:
    data = bytes(encode_result(make_result(1), 1, 1))
    name = f'"{field}":'.encode()
    at = data.index(name) + len(name)
    end = min(data.index(mark, at) for mark in (b",", b"}"))
    for number in (str(2**63), str(-(2**63) - 1), "9" * 400):
        spoilt = data[:at] + number.encode() + data[end:]
        with pytest.raises(MessageError, match="cannot be read"):
            decode(_with_length(spoilt, len(number) - (end - at)))


@pytest.mark.parametrize("version", ["v", "v-1", "vx", "v\x1b[31m", "v1.5", "v" + "9" * 80, "w2"])
def test_what_is_no_version_is_not_told_as_one(version: str) -> None:
    with pytest.raises(MessageError):
        decode(f"result/{version}/us0/\n".encode() + bytes(100))


def test_spoilt_messages_on_the_socket_do_not_end_a_reader(bus_address: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.set(zmq.SNDHWM, 0)
    socket.bind(endpoint(bus_address, "event", "archive"))
    topics = ("result", "engine", "session", "health", "mark")
    # A message of another version ends a reader that has understood none yet, and is meant to.
    spoilt = [data for data in itertools.islice(spoilt_messages(seed=4), 300) if _read(data) != "SchemaVersionError"]
    with Subscriber(bus_address, topics, "archive") as archive:
        for _ in topics:
            socket.recv()
        for number, data in enumerate(spoilt):
            socket.send(data)
            socket.send(encode_result(make_result(5), number, 0))
        good = [m for _, m in archive.each(500, lambda: True) if m.topic.name == "result" and m.body.frame_id == 5]
        assert len(good) == len(spoilt)
        assert archive.malformed > len(spoilt) / 4
    context.destroy(linger=0)


def test_a_message_that_is_announced_too_large_is_not_taken_in_and_the_next_one_is(bus_address: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.bind(endpoint(bus_address, "event", "archive"))
    with Subscriber(bus_address, ("result",), "archive") as archive:
        assert socket.recv() == b"\x01result/"
        socket.send(b"result/v1/us0/\n" + bytes(2**25))
        told: list[bytes] = []
        deadline = time.monotonic() + 10
        while len(told) < 2 and time.monotonic() < deadline:
            assert not list(archive.each(20, lambda: True))
            told += [socket.recv()] if socket.poll(0) else []
        assert told == [b"\x00result/", b"\x01result/"]  # libzmq gave the connection up, and it was made again
        socket.send(encode_result(make_result(5), 0, 0))
        assert [m.body.frame_id for _, m in archive.each(500, lambda: True)] == [5]
        assert archive.malformed == 0
    context.destroy(linger=0)


def test_one_message_of_another_version_does_not_end_a_reader_that_understands_its_stream(bus_address: str) -> None:
    good = bytes(encode_result(make_result(), 0, 0))
    other = good.replace(b"/v1/", b"/v2/", 1)
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.bind(endpoint(bus_address, "event", "archive"))
    with Subscriber(bus_address, ("result",), "archive") as archive:
        socket.recv()
        for data in (good, other, good, other, good):
            socket.send(data)
        assert len(list(archive.each(300, lambda: True))) == 3
        assert archive.malformed == 2
        for _ in range(3):  # the stream was replaced by one of another version
            socket.send(other)
        with pytest.raises(SchemaVersionError, match="v2 came, this usassist reads v1"):
            list(archive.each(2000, lambda: True))
    context.destroy(linger=0)


def _read_all(messages: Iterable[bytes]) -> Iterable[str]:
    for data in messages:
        yield _read(data)


def _read(data: bytes) -> str:
    """Read a message to its end; any other error than ours passes through."""
    try:
        peek_topic(data)
        message: Message = decode(data)
        if message.topic.name == "frame":
            frame_from(message)
        elif message.topic.name == "result":
            result_from(message)
    except (MessageError, SchemaVersionError) as error:
        return type(error).__name__
    encode(message.topic, "us0", 0, 0, message.body, {})  # whatever was read can be published again
    return "read"


def _with_buffers(buffers: Iterable[str]) -> bytes:
    data = bytes(encode_frame(make_frame(1, (8, 12)), 1, 1))
    start = data.index(b"\n") + 1
    length = int.from_bytes(data[start : start + 4], "little")
    header = data[start + 4 : start + 4 + length]
    header = header[: header.index(b'"buffers":')] + b'"buffers":[' + ",".join(buffers).encode() + b"]}"
    message = data[:start] + len(header).to_bytes(4, "little") + header
    return message + bytes(-len(message) % 64)


def _with_length(data: bytes, more: int) -> bytes:
    start = data.index(b"\n") + 1
    length = int.from_bytes(data[start : start + 4], "little") + more
    return data[:start] + length.to_bytes(4, "little") + data[start + 4 :]
