"""Real connections with keys, over TCP on this machine. Each end has a folder of keys of its own."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from tests.samples import SESSION, make_frame, make_result
from tests.unit.bus.test_inbox import HEALTH
from usassist.bus import Inbox, Publisher, Subscriber
from usassist.bus.address import inbox_endpoint, uses_keys
from usassist.bus.codec import encode_frame
from usassist.bus.keys import Keyring
from usassist.common.clock import MonotonicClock
from usassist.errors import BusKeyError, UsageError

OPENERS = [lambda a: Publisher(a, "us0", MonotonicClock()), lambda a: Subscriber(a, ("result",)), Inbox]
Use = Callable[[str], None]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Go over to the machine of that name: from then on its folder of keys is the one that is used."""

    def go(name: str) -> None:
        monkeypatch.setenv("USASSIST_KEYS", str(tmp_path / name))

    go("cart")
    return go


@pytest.fixture
def tcp_address() -> str:
    return f"tcp://127.0.0.1:{_free_ports()}?keys"


@pytest.fixture
def cart(use: Use, tcp_address: str) -> Iterator[Publisher]:
    """A stream with keys on the machine `cart`; the machine `ward` knows it, and is known there."""
    stream = Keyring().make("stream")
    use("ward")
    viewer = Keyring().make("viewer")
    Keyring().allow(stream, "cart")
    use("cart")
    Keyring().allow(viewer, "ward")
    # The queue for archives follows from the size of the frames: with the one that is sent here, eight fit into it.
    frame_bytes = len(encode_frame(make_frame(), 0, 0))
    publisher = Publisher(tcp_address, "us0", MonotonicClock(), frame_bytes=frame_bytes)
    yield publisher
    publisher.close()


def test_a_viewer_with_an_allowed_key_sees_frames_and_results(cart: Publisher, use: Use, tcp_address: str) -> None:
    use("ward")
    with Subscriber(tcp_address, ("frame", "result", "session")) as viewer:
        use("cart")
        heard: dict[str, object] = {}
        deadline = time.monotonic() + 10
        while len(heard) < 3 and time.monotonic() < deadline:
            cart.frame(make_frame(3))
            cart.result(make_result(3))
            cart.event("session", SESSION)
            heard.update(viewer.latest(20))
        assert set(heard) == {"frame", "result", "session"}


def test_an_archive_with_an_allowed_key_gets_everything(cart: Publisher, use: Use, tcp_address: str) -> None:
    use("ward")
    with Subscriber(tcp_address, ("frame", "result", "session"), "archive") as archive:
        use("cart")
        assert cart.wait_for_archives(1, 10, lambda: True)
        for number in range(8):
            cart.frame(make_frame(number))
            cart.result(make_result(number))
        seen: list[int] = []
        deadline_s = time.monotonic() + 10
        for _, message in archive.each(50, lambda: len(seen) >= 16 or time.monotonic() > deadline_s):
            seen.append(message.body.frame_id)
        assert sorted(seen) == sorted([*range(8)] * 2)
        assert not any(archive.gaps.values())


def test_what_travels_cannot_be_read_on_the_way(use: Use, tcp_address: str) -> None:
    Keyring().make("stream")
    Keyring().make("viewer")
    publisher = Publisher(tcp_address, "us0", MonotonicClock())
    with _Wiretap(inbox_endpoint(tcp_address)) as tap, Inbox(tap.address + "?keys") as inbox:
        _until(lambda: inbox.send("health", HEALTH))
        _until(lambda: bool(list(publisher.received())))
        assert len(tap.heard) > 200
        assert b"panel" not in tap.heard
    publisher.close()


def test_own_viewers_and_recorders_are_let_in_without_being_allowed(use: Use, tcp_address: str) -> None:
    Keyring().make("stream")
    Keyring().make("viewer")
    publisher = Publisher(tcp_address, "us0", MonotonicClock())
    with Subscriber(tcp_address, ("session",), "archive") as archive:
        _until(lambda: (publisher.event("session", SESSION), _any(archive))[1])
    publisher.close()


def test_a_viewer_whose_key_is_not_allowed_gets_nothing_and_says_so(
    cart: Publisher, use: Use, tcp_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    Keyring().forget("ward")
    use("ward")
    own = Keyring().public_key("viewer")
    with Subscriber(tcp_address, ("result", "session")) as viewer:
        use("cart")
        with pytest.raises(BusKeyError, match=f"does not know this viewer; .* usassist keys allow {own} --name"):
            _listen(viewer, cart)
    refusals = [record.getMessage() for record in caplog.records if own in record.getMessage()]
    assert len(refusals) == 1


def test_a_viewer_who_is_allowed_while_the_stream_runs_is_let_in(cart: Publisher, use: Use, tcp_address: str) -> None:
    Keyring().forget("ward")
    use("ward")
    viewer_key = Keyring().public_key("viewer")
    with Subscriber(tcp_address, ("result",)) as viewer:
        use("cart")
        with pytest.raises(BusKeyError):
            _listen(viewer, cart)
    Keyring().allow(viewer_key, "ward")
    use("ward")
    with Subscriber(tcp_address, ("result",)) as viewer:
        use("cart")
        assert _listen(viewer, cart)


def test_a_viewer_without_keys_gets_nothing_and_says_so(cart: Publisher, use: Use, tcp_address: str) -> None:
    plain = tcp_address.removesuffix("?keys")
    with Subscriber(plain, ("result",)) as viewer, pytest.raises(BusKeyError, match=r"add \?keys to the address"):
        _listen(viewer, cart)


def test_a_publisher_that_imitates_ours_without_its_key_is_not_heard(use: Use, tcp_address: str) -> None:
    stream = Keyring().make("stream")
    use("ward")
    viewer_key = Keyring().make("viewer")
    Keyring().allow(stream, "cart")
    use("impostor")
    Keyring().make("stream")
    Keyring().allow(viewer_key, "ward")
    impostor = Publisher(tcp_address, "us0", MonotonicClock())
    use("ward")
    with Subscriber(tcp_address, ("result",)) as viewer:
        use("impostor")
        with pytest.raises(BusKeyError, match="does not have the key of the stream cart"):
            _listen(viewer, impostor)
    impostor.close()


def test_a_publisher_that_imitates_ours_without_any_key_is_not_heard(use: Use, tcp_address: str) -> None:
    Keyring().allow("stream-" + "5a" * 32, "cart")
    Keyring().make("viewer")
    impostor = Publisher(tcp_address.removesuffix("?keys"), "us0", MonotonicClock())
    with Subscriber(tcp_address, ("result",)) as viewer, pytest.raises(BusKeyError, match="does not have the key"):
        _listen(viewer, impostor)
    impostor.close()


def test_one_stranger_does_not_disturb_those_who_are_allowed(cart: Publisher, use: Use, tcp_address: str) -> None:
    use("ward")
    with Subscriber(tcp_address, ("result",)) as viewer:
        use("stranger")
        Keyring().make("viewer")
        Keyring().allow("stream-" + "00" * 31 + "01", "cart")
        with Subscriber(tcp_address, ("result",)) as stranger:
            use("cart")
            assert _listen(viewer, cart)
            with pytest.raises(BusKeyError):
                _listen(stranger, cart)
            assert _listen(viewer, cart)


def test_the_desk_takes_nothing_from_who_is_not_allowed(cart: Publisher, use: Use, tcp_address: str) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.PUSH)
    plain.connect(inbox_endpoint(tcp_address))
    plain.send(b"health/v1/x/\n")
    use("ward")
    with Inbox(tcp_address) as inbox:
        use("cart")
        _until(lambda: inbox.send("health", HEALTH))
        posted: list[object] = []
        _until(lambda: bool(posted.extend(cart.received()) or posted))
        assert posted == [("health", HEALTH)]
        assert cart.malformed == 0
    context.destroy(linger=0)


def test_a_broken_list_of_keys_lets_nobody_in(
    cart: Publisher, use: Use, tcp_address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cart" / "allowed" / "broken.pub").write_text("rubbish")
    use("ward")
    with Subscriber(tcp_address, ("result",)) as viewer:
        use("cart")
        with pytest.raises(BusKeyError):
            _listen(viewer, cart)
    assert any(record.levelno == logging.ERROR and "broken.pub" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:5600", "tcp://192.0.2.7:5600", "tcp://scanner.example:5600", "ipc?keys"]
)
@pytest.mark.parametrize("open_it", OPENERS)
def test_other_machines_are_reached_with_keys_or_not_at_all(
    use: Use, address: str, open_it: Callable[[str], object]
) -> None:
    with pytest.raises(BusKeyError, match=r"make one with: usassist keys make (stream|viewer)$"):
        open_it(address)


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("ipc", False),
        ("ipc:///run/x", False),
        ("ipc:///run/x?keys", True),
        ("tcp://127.0.0.1:5600", False),
        ("tcp://127.8.9.1:5600", False),
        ("tcp://localhost:5600", False),
        ("tcp://127.0.0.1:5600?keys", True),
        ("tcp://127.0.0.1:5600?keys=cart", True),
        ("tcp://0.0.0.0:5600", True),
        ("tcp://10.0.0.3:5600", True),
        ("tcp://127.0.0.1.example:5600", True),
        ("tcp://localhost.example:5600", True),
    ],
)
def test_keys_are_wanted_where_other_machines_can_reach_or_where_the_address_says_so(
    address: str, wanted: bool
) -> None:
    assert uses_keys(address) is wanted


@pytest.mark.parametrize(
    "address",
    ["ipc?", "ipc?key", "ipc?keys=", "ipc?keys=A", "ipc?keys&x", "tcp://[::1]:5600", "tcp://*:5600?", "x?keys"],
)
def test_an_address_with_something_else_behind_it_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is not understood"):
        uses_keys(address)


def test_a_stream_that_is_not_known_is_told_with_the_commands_that_mend_it(use: Use) -> None:
    Keyring().make("viewer")
    with pytest.raises(
        BusKeyError, match="on its machine run: usassist keys show stream, and here: usassist keys allow"
    ):
        Subscriber("tcp://192.0.2.7:5600", ("result",))
    Keyring().allow("stream-" + "5a" * 32, "room1")
    with pytest.raises(BusKeyError, match="KEY --name room2"):
        Subscriber("tcp://192.0.2.7:5600?keys=room2", ("result",))
    Keyring().allow("stream-" + "5b" * 32, "room2")
    with pytest.raises(BusKeyError, match=r"several streams are known here: room1, room2; name the one"):
        Subscriber("tcp://192.0.2.7:5600", ("result",))
    Subscriber("tcp://192.0.2.7:5600?keys=room2", ("result",)).close()


def test_a_stream_that_ends_in_the_middle_of_a_handshake_is_no_refusal(use: Use, tcp_address: str) -> None:
    Keyring().make("stream")
    Keyring().make("viewer")
    door = socket.create_server(("127.0.0.1", int(tcp_address.split(":")[2].removesuffix("?keys")) + 1))
    with Subscriber(tcp_address, ("result",)) as viewer:
        for _ in range(2):
            connection, _ = door.accept()
            connection.close()
        door.close()
        publisher = Publisher(tcp_address, "us0", MonotonicClock())
        assert _listen(viewer, publisher)
    publisher.close()


class _Wiretap:
    """Passes bytes between a reader and one endpoint of a stream, and keeps them."""

    def __init__(self, place: str) -> None:
        self.heard = b""
        self._port = int(place.rpartition(":")[2])

    def __enter__(self) -> _Wiretap:
        import threading

        first = _free_ports()
        self.address = f"tcp://127.0.0.1:{first}"
        self._door = socket.create_server(("127.0.0.1", first + 4))
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def _accept(self) -> None:
        import threading

        near, _ = self._door.accept()
        far = socket.create_connection(("127.0.0.1", self._port))
        self._ends = [near, far]
        for one, other in ((near, far), (far, near)):
            self._threads.append(threading.Thread(target=self._pass, args=(one, other)))
            self._threads[-1].start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        while data := one.recv(65536):
            self.heard += data
            other.sendall(data)

    def __exit__(self, *error: object) -> None:
        for end in self._ends:
            end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in (*self._ends, self._door):
            end.close()


def _listen(viewer: Subscriber, publisher: Publisher) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        publisher.result(make_result())
        if viewer.latest(20):
            return True
    return False


def _any(archive: Subscriber) -> bool:
    return any(True for _ in archive.each(20, lambda: True))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.002)


def _free_ports() -> int:
    """The first of five ports in a row that nobody uses now."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        taken = []
        try:
            for port in range(first, first + 5):
                taken.append(socket.create_server(("127.0.0.1", port)))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for door in taken:
                door.close()
    raise AssertionError("no five free ports in a row")
