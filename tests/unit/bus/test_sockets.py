from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import zmq

from tests.samples import ENGINE, SESSION, make_frame, make_result
from usassist.bus import TOPICS, MessageLogWriter, Publisher, Subscriber, frame_from, read_log
from usassist.bus.address import endpoint
from usassist.bus.codec import encode_result
from usassist.common.clock import MonotonicClock
from usassist.errors import BusError, SchemaVersionError, SessionError, UsageError

ALL = ("frame", "result", "engine", "session", "health")


def _publisher(address: str, *, lossless: bool = False, frame_bytes: int = 2**20) -> Publisher:
    return Publisher(address, "us0", MonotonicClock(), lossless=lossless, frame_bytes=frame_bytes)


def _archive(address: str) -> Subscriber:
    return Subscriber(address, ALL, "archive")


def test_an_archive_gets_everything_in_order(bus_address: str) -> None:
    publisher = _publisher(bus_address, lossless=True)
    with _archive(bus_address) as archive:
        assert publisher.wait_for_archives(1, 10, lambda: True)
        for number in range(20):  # fewer than the queue holds: nobody reads yet
            publisher.frame(make_frame(number))
            publisher.result(make_result(number))
        frames, results = [], []
        for _, message in archive.each(50, lambda: True):
            (frames if message.topic.name == "frame" else results).append(message.body.frame_id)
        assert frames == results == list(range(20))
        assert not any(archive.gaps.values())
    publisher.close()


def test_a_slow_archive_makes_a_lossless_stream_wait(bus_address: str) -> None:
    publisher = _publisher(bus_address, lossless=True, frame_bytes=48 * 2**20)  # a queue of four
    received: list[int] = []
    done = threading.Event()

    def read() -> None:
        with _archive(bus_address) as archive:
            for _, message in archive.each(100, done.is_set):
                received.append(message.body.frame_id)
                time.sleep(0.002)

    reader = threading.Thread(target=read)
    reader.start()
    assert publisher.wait_for_archives(1, 10, lambda: True)
    for number in range(150):
        publisher.frame(make_frame(number, (400, 400)))
    done.set()
    reader.join(20)
    publisher.close()
    assert received == list(range(150))


def test_two_archives_are_both_waited_for(bus_address: str) -> None:
    publisher = _publisher(bus_address)
    first = _archive(bus_address)
    assert not publisher.wait_for_archives(2, 0.5, lambda: True)
    first.close()
    publisher.close()
    publisher = _publisher(bus_address)
    with _archive(bus_address), Subscriber(bus_address, ("frame", "result", "engine", "session"), "archive"):
        assert publisher.wait_for_archives(2, 10, lambda: True)
    publisher.close()


def test_waiting_ends_when_an_archive_has_died(bus_address: str) -> None:
    publisher = _publisher(bus_address)
    assert not publisher.wait_for_archives(1, 60, lambda: False)
    publisher.close()


def test_a_missing_message_is_counted_as_a_gap(bus_address: str) -> None:
    context = zmq.Context()
    sockets = {lane: context.socket(zmq.XPUB) for lane in ("frame", "event")}
    for lane, socket in sockets.items():
        socket.bind(endpoint(bus_address, lane, "archive"))  # type: ignore[arg-type]
    with Subscriber(bus_address, ("result",), "archive") as archive:
        sockets["event"].recv()
        for seq in (0, 1, 4, 5):
            sockets["event"].send(encode_result(make_result(seq), seq, 0))
        assert [m.seq for _, m in archive.each(200, lambda: True)] == [0, 1, 4, 5]
        assert archive.gaps == {"result": 2}
    context.destroy(linger=0)


def test_a_viewer_that_reads_late_sees_the_newest_frame(bus_address: str) -> None:
    publisher = _publisher(bus_address)
    with Subscriber(bus_address, ("frame", "result")) as viewer:
        _until(lambda: (publisher.frame(make_frame(0)), viewer.latest(20))[1])
        for number in range(1, 60):
            publisher.frame(make_frame(number))
        seen: list[int] = []
        _until(
            lambda: (
                seen.append(frame_from(m["frame"]).frame_id) or seen[-1] == 59
                if "frame" in (m := viewer.latest(50))
                else False
            )
        )
        assert seen[-1] == 59
        assert len(seen) < 30
    publisher.close()


def test_late_joiners_hear_who_the_engine_is(bus_address: str) -> None:
    publisher = _publisher(bus_address)
    with Subscriber(bus_address, ("engine", "session")) as viewer:
        heard: dict = {}

        def announce() -> bool:
            publisher.event("engine", ENGINE)
            publisher.event("session", SESSION)
            heard.update(viewer.latest(20))
            return len(heard) == 2

        _until(announce)
        assert heard["engine"].body == ENGINE
        assert heard["session"].body == SESSION
    publisher.close()


def test_stopped_viewers_hold_back_nobody(bus_address: str) -> None:
    publisher = _publisher(bus_address)
    stalled = [Subscriber(bus_address, ("frame",)) for _ in range(10)]
    with _archive(bus_address) as archive:
        assert publisher.wait_for_archives(1, 10, lambda: True)
        received = []
        for number in range(40):
            publisher.frame(make_frame(number, (720, 1280)))
            for _, message in archive.each(20, lambda: True):
                received.append(message.body.frame_id)
        assert received == list(range(40))
    for subscriber in stalled:
        subscriber.close()
    publisher.close()


def test_bytes_of_strangers_are_counted_and_passed_over(bus_address: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.bind(endpoint(bus_address, "event", "archive"))
    with Subscriber(bus_address, ("result",), "archive") as archive:
        socket.recv()
        socket.send(b"result/v1/us0/\nrubbish")
        socket.send(encode_result(make_result(3), 0, 0))
        assert [m.body.frame_id for _, m in archive.each(200, lambda: True)] == [3]
        assert archive.malformed == 1
    context.destroy(linger=0)


def test_a_stream_of_another_major_version_is_noticed_and_not_taken_for_silence(bus_address: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.bind(endpoint(bus_address, "event", "view"))
    with Subscriber(bus_address, ("result",)) as viewer:
        socket.recv()
        socket.send(bytes(encode_result(make_result(), 0, 0)).replace(b"/v1/", b"/v2/", 1))
        with pytest.raises(SchemaVersionError, match="use the same usassist at both ends"):
            viewer.latest(2000)
    context.destroy(linger=0)


def test_an_address_that_a_living_stream_uses_is_refused_in_one_line(bus_address: str) -> None:
    publisher = _publisher(bus_address)
    with pytest.raises(BusError, match="in use by another stream; stop it or give another --bus"):
        _publisher(bus_address)
    publisher.close()


def test_the_socket_files_of_a_dead_stream_are_no_hindrance(bus_address: str) -> None:
    import socket

    folder = Path(bus_address.removeprefix("ipc://"))
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(folder / "frame-view"))
    dead.close()
    _publisher(bus_address).close()


def test_a_port_in_use_is_refused_in_one_line() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BusError, match="address already in use"):
            _publisher(f"tcp://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("address", ["", "udp://x", "tcp://127.0.0.1", "tcp://127.0.0.1:99999999", "ipc://"])
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="give ipc"):
        endpoint(address, "frame", "view")


def test_a_log_gives_back_the_bytes(tmp_path: Path) -> None:
    messages = [bytes(encode_result(make_result(i), i, 0)) for i in range(5)]
    with MessageLogWriter(tmp_path / "bus.log") as log:
        for index, data in enumerate(messages):
            log.append(data, without_pixels=index == 2)
    back = list(read_log(tmp_path / "bus.log"))
    assert [item.data for item in back] == messages
    assert [item.without_pixels for item in back] == [False, False, True, False, False]


def test_a_log_that_is_cut_off_is_read_to_its_last_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    with MessageLogWriter(path) as log:
        for number in range(3):
            log.append(b"x" * 100 + bytes([number]))
    whole = path.read_bytes()
    for length in range(12, len(whole)):
        path.write_bytes(whole[:length])
        assert len(list(read_log(path))) == (length - 12) // 110


def test_a_flipped_byte_in_a_log_is_noticed_and_what_lies_before_is_given(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    with MessageLogWriter(path) as log:
        log.append(b"first")
        log.append(b"second")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    records = read_log(path)
    assert next(records).data == b"first"
    with pytest.raises(SessionError, match="damaged at byte"):
        next(records)


def test_what_is_no_log_or_a_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_bytes(b"hello, this is text")
    with pytest.raises(SessionError, match="not a message log"):
        next(read_log(path))
    path.write_bytes(b"USBUSLOG" + (9).to_bytes(4, "little"))
    with pytest.raises(SchemaVersionError, match="version 9"):
        next(read_log(path))


def test_every_topic_is_recorded_and_described_in_the_table() -> None:
    import usassist.bus.topics as module

    for topic in TOPICS.values():
        assert f"{topic.name} " in (module.__doc__ or "")
        assert topic.schema in (module.__doc__ or "")


def _until(condition: object, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "did not happen in time"


def test_a_path_that_is_too_long_for_a_socket_is_called_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with pytest.raises(BusError, match="XDG_RUNTIME_DIR"):
        Publisher(f"ipc://{folder}", "us0", MonotonicClock())
