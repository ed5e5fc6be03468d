"""Images and outlines for OpenIGTLink clients: what is sent of a frame, and clients that are slow, many, or none."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.samples import ENGINE, SESSION, ellipse_contour, make_frame, make_result
from usassist.bus import Publisher, SessionState, SignalBody, decode
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.bus.topics import TOPICS
from usassist.common.clock import FakeClock, MonotonicClock
from usassist.common.openigtlink.content import IMAGE_HEAD_BYTES, read_image_head, read_transform
from usassist.common.openigtlink.packing import pack
from usassist.common.openigtlink.reader import Message, MessageReader
from usassist.config import OpenIgtLinkConfig
from usassist.errors import UsageError
from usassist.frames import fill_labelmap
from usassist.records import Cause, Frame, Pose, PoseStatus, Result, ResultState, Segmentation, SignalState
from usassist.sinks.openigtlink import check_port, serve_openigtlink
from usassist.sinks.openigtlink.bundle import NOT_ANSWERED, Bundle, Part, fill_outlines, frame_parts
from usassist.sinks.openigtlink.serve import BundleMaker
from usassist.sinks.openigtlink.server import Server

HW = (48, 64)
KINDS = ("IMAGE", "TRANSFORM", "STRING", "STATUS")
ANY_PORT = OpenIgtLinkConfig(port=0)
PROBE = (1.0, 0.0, 0.0, 10.5, 0.0, 0.0, -1.0, -2.25, 0.0, 1.0, 0.0, 3.0)


def messages_of(bundle: Bundle, version: int = 1) -> dict[str, Message]:
    """What a client makes of a bundle, by name of the device."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(bundle.buffers(version)))
        reader = MessageReader(ours, KINDS)
        found: dict[str, Message] = {}
        while (message := reader.read(0.0)) is not None:
            assert message.intact
            found[message.header.device] = message
    return found


def pixels_of(message: Message) -> np.ndarray:
    width, height, _ = read_image_head(message.content).size_ijk
    return np.frombuffer(message.content[IMAGE_HEAD_BYTES:], np.uint8).reshape(height, width, -1).squeeze()


def text_of(messages: dict[str, Message]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bytes(messages["usassist_result"].content[4:]))
    return document


def status_of(messages: dict[str, Message]) -> tuple[int, str, str]:
    content = bytes(messages["usassist_status"].content)
    return (
        int.from_bytes(content[:2], "big"),
        content[10:30].rstrip(b"\0").decode(),
        content[30:].rstrip(b"\0").decode(),
    )


def bundle_of(frame: Frame, result: Result | None, clock: FakeClock | None = None, **session: Any) -> Bundle:
    """The bundle of one frame, with its own result or after the wait for it."""
    clock = clock or FakeClock()
    maker = BundleMaker(clock)
    body = msgspec.structs.replace(SESSION, realtime=False, **session)
    for data in (
        encode(TOPICS["engine"], "us0", 0, 0, ENGINE, {}),
        encode(TOPICS["session"], "us0", 0, 0, body, {}),
        encode_frame(frame, 0, 0),
    ):
        maker.take(decode(data))
    if result is not None:
        maker.take(decode(encode_result(result, 0, 0)))
    else:
        clock.sleep_until(clock.now_ns() + 200_000_000)
    bundle = maker.make()
    assert bundle is not None
    return bundle


def test_outlines_are_filled_as_everywhere_else() -> None:
    rng = np.random.default_rng(0)
    contours = [
        ellipse_contour((int(x), int(y)), (int(a), int(b)), float(angle))
        for x, y, a, b, angle in zip(*(rng.integers(4, 60, (5, 40)) * [[1], [1], [0.5], [0.3], [3]]), strict=True)
    ]
    for segmentation in (Segmentation.of(contours), Segmentation.of(contours[:1]), Segmentation.empty()):
        np.testing.assert_array_equal(fill_outlines(segmentation, (80, 90)), fill_labelmap(segmentation, (80, 90)))


def test_a_finding_is_image_outline_and_text_of_one_frame_with_one_stamp() -> None:
    frame = make_frame(3, HW, t_capture_ns=5, spacing_rc_mm=(0.1, 0.2), spacing_rel_sd=0.01, calibration_id="geo")
    result = make_result(3, t_capture_ns=5)
    for version in (1, 2):
        found = messages_of(bundle_of(frame, result), version)
        assert list(found) == ["usassist_image", "usassist_outline", "usassist_result", "usassist_status"]
        np.testing.assert_array_equal(pixels_of(found["usassist_image"]), frame.image)
        np.testing.assert_array_equal(pixels_of(found["usassist_outline"]), fill_labelmap(result.segmentation, HW))
        assert len({message.header.stamp_ns for message in found.values()}) == 1
        for device in ("usassist_image", "usassist_outline"):
            matrix = read_image_head(found[device].content).matrix
            np.testing.assert_allclose(matrix, np.diag([-0.2, -0.1, 1.0, 1.0]), atol=1e-5)
        expected = {"frame_id": "3", "session_id": frame.session_id, "state": "finding"} if version == 2 else {}
        assert {device: message.metadata for device, message in found.items()} == dict.fromkeys(found, expected)
        document = text_of(found)
        (nodule,) = document["nodules"]
        assert (document["frame_id"], document["state"], document["scale"]) == (3, "finding", "geo")
        assert (nodule["label_value"], nodule["score"], nodule["track_id"]) == (1, 0.875, -1)
        assert nodule["major_mm"] > 0 < nodule["major_u95_mm"]
        assert "contour_xy_px" not in nodule
        assert status_of(found) == (1, "finding", "1 FINDING")


def test_the_stamp_is_the_capture_in_time_since_1970() -> None:
    clock = FakeClock()
    now_ns = time.time_ns()
    found = messages_of(bundle_of(make_frame(0, HW, t_capture_ns=clock.now_ns()), make_result(0), clock))
    stamp_ns = found["usassist_image"].header.stamp_ns
    assert stamp_ns is not None
    assert abs(stamp_ns - now_ns) < 5_000_000_000


def test_no_finding_is_an_empty_map_and_no_result_is_not() -> None:
    nothing = messages_of(bundle_of(make_frame(0, HW), make_result(0, ResultState.NO_FINDING)))
    assert not pixels_of(nothing["usassist_outline"]).any()
    assert status_of(nothing)[:2] == (1, "no_finding")
    frozen = {"picture": SignalState.FROZEN, "picture_reason": "the scanner is frozen"}
    for frame, result, word in (
        (make_frame(0, HW), make_result(0, ResultState.NO_RESULT), "no_result"),
        (make_frame(0, HW), make_result(0, ResultState.STALE), "stale"),
        (make_frame(0, HW), None, "no_result"),
        (make_frame(0, HW, **frozen), make_result(0, ResultState.NO_RESULT, cause=Cause.NOT_LIVE), "frozen"),
        (make_frame(0, HW), make_result(0, engine_id="other@1+000000000000"), "no_result"),
    ):
        found = messages_of(bundle_of(frame, result))
        outline = pixels_of(found["usassist_outline"])
        assert set(np.unique(outline)) == {0, NOT_ANSWERED}
        assert outline[0].all()
        assert not outline[HW[0] // 2, 5:-5].any()  # nothing in the image itself
        assert text_of(found)["nodules"] == []
        assert text_of(found)["state"] in ("no_result", "stale")
        assert (status_of(found)[0], status_of(found)[1]) == (13, word)


def test_without_a_scale_a_pixel_is_sent_as_a_millimetre_and_that_is_said() -> None:
    found = messages_of(bundle_of(make_frame(0, HW), make_result(0, ResultState.NO_FINDING)))
    np.testing.assert_array_equal(read_image_head(found["usassist_image"].content).matrix[:2, :2], -np.eye(2))
    assert text_of(found)["scale"].startswith("uncalibrated")
    assert text_of(found)["spacing_rc_mm"] is None
    assert "uncalibrated" in status_of(found)[2]


def test_valid_poses_are_sent_and_the_others_said() -> None:
    poses = (
        Pose(name="ProbeToReference", status=PoseStatus.VALID, matrix_mm=PROBE, sender_stamp_ns=7),
        Pose(name="NeedleToReference", status=PoseStatus.STALE, sender_stamp_ns=6),
    )
    found = messages_of(bundle_of(make_frame(0, HW, poses=poses), make_result(0)))
    assert "NeedleToReference" not in found
    matrix = read_transform(found["ProbeToReference"].content)
    np.testing.assert_allclose(matrix[:3].ravel(), PROBE, atol=1e-6)
    assert text_of(found)["poses"] == {"ProbeToReference": "valid", "NeedleToReference": "stale"}


def test_colour_is_sent_as_rgb_and_burnt_in_text_is_covered() -> None:
    frame = make_frame(0, HW, 3, text_xyxy_px=((4, 4, 20, 12),))
    found = messages_of(bundle_of(frame, make_result(0, ResultState.NO_FINDING)))
    sent = pixels_of(found["usassist_image"])
    assert sent.shape == (*HW, 3)
    assert len(np.unique(sent[4:12, 4:20].reshape(-1, 3), axis=0)) == 1
    np.testing.assert_array_equal(sent[20:], frame.image[20:])


def test_when_no_frame_comes_the_last_image_is_marked_and_not_sent_again() -> None:
    clock = FakeClock()
    maker = BundleMaker(clock)
    lost = msgspec.structs.replace(
        SESSION, realtime=False, signal=SignalBody(state=SignalState.LOST, reason="no frames arrive", t_since_ns=0)
    )
    for data in (
        encode(TOPICS["engine"], "us0", 0, 0, ENGINE, {}),
        encode(TOPICS["session"], "us0", 0, 0, msgspec.structs.replace(SESSION, realtime=False), {}),
        encode_frame(make_frame(0, HW), 0, 0),
        encode_result(make_result(0), 0, 0),
    ):
        maker.take(decode(data))
    assert maker.make() is not None
    assert maker.make() is None
    maker.take(decode(encode(TOPICS["session"], "us0", 0, 0, lost, {})))
    bundle = maker.make()
    assert bundle is not None
    found = messages_of(bundle)
    assert list(found) == ["usassist_outline", "usassist_result", "usassist_status"]
    assert set(np.unique(pixels_of(found["usassist_outline"]))) == {0, NOT_ANSWERED}
    assert status_of(found) == (7, "lost", "SIGNAL LOST; no frames arrive")
    assert maker.make() is None  # it is said once,
    clock.sleep_until(clock.now_ns() + 1_100_000_000)
    assert maker.make() is not None  # and again for clients that have come since
    ended = msgspec.structs.replace(SESSION, state=SessionState.ENDED)
    maker.take(decode(encode(TOPICS["session"], "us0", 0, 0, ended, {})))
    bundle = maker.make()
    assert bundle is not None
    assert status_of(messages_of(bundle))[:2] == (19, "over")


def test_a_text_that_is_too_long_leaves_nodules_out_and_says_so() -> None:
    count = 400
    one = make_result(0)
    many = make_result(
        0,
        hw=HW,
        segmentation=Segmentation.of([*one.segmentation] * count),
        detections=type(one.detections)(
            **{
                name: np.repeat(getattr(one.detections, name), count, axis=0)
                for name in ("xyxy_px", "score", "label_id", "track_id")
            }
        ),
        measurements=type(one.measurements)(
            **{name: np.repeat(getattr(one.measurements, name), count) for name in ("major_px", "minor_px", "area_px2")}
        ),
    )
    document = text_of(messages_of(bundle_of(make_frame(0, HW), many)))
    assert 0 < len(document["nodules"]) < count
    assert document["nodules_left_out"] == count - len(document["nodules"])


# Clients


def numbered(number: int, hw: tuple[int, int] = HW) -> Bundle:
    """A bundle whose image and outline say its number."""
    frame = make_frame(number, hw)
    image = np.full(hw, number % 251, np.uint8)
    parts = frame_parts(make_frame(number, hw), Segmentation.empty(), json.dumps({"frame_id": number}), (1, "x", ""))
    head = bytes(parts[0].content[0])
    parts[0] = Part("IMAGE", parts[0].device, [head, image.data.cast("B")])
    parts[1] = Part("IMAGE", parts[1].device, [head, image.data.cast("B")])
    return Bundle(parts, 1_700_000_000_000_000_000 + number, {"frame_id": str(frame.frame_id)})


@contextmanager
def connected(port: int) -> Iterator[tuple[socket.socket, MessageReader]]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield connection, MessageReader(connection, KINDS)


def next_pair(reader: MessageReader) -> tuple[int, int]:
    """Number and header version of the next frame, whose image and outline must be of that one frame."""
    found: dict[str, Message] = {}
    while "usassist_status" not in found:
        message = reader.read(5.0)
        assert message is not None
        assert message.intact
        found[message.header.device] = message
    image, outline = (int(pixels_of(found[device])[0, 0]) for device in ("usassist_image", "usassist_outline"))
    assert image == outline == text_of(found)["frame_id"] % 251
    assert len({message.header.stamp_ns for message in found.values()}) == 1
    return text_of(found)["frame_id"], found["usassist_image"].header.version


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_two_clients_get_every_frame_each_in_the_version_that_it_speaks() -> None:
    with Server(ANY_PORT) as server, connected(server.port) as (old, first), connected(server.port) as (new, second):
        new.sendall(b"".join(pack("GET_STATUS", "client", 0, [], version=2)))
        wait_until(lambda: server.clients == 2)
        versions = []
        for number in range(8):
            server.publish(numbered(number))
            assert next_pair(first) == (number, 1)
            got, version = next_pair(second)
            assert got == number
            versions.append(version)
        assert versions[-1] == 2
        old.close()
        wait_until(lambda: server.clients == 1)
        server.publish(numbered(8))
        assert next_pair(second) == (8, 2)


def test_a_slow_client_gets_the_newest_and_nobody_waits_for_it() -> None:
    hw = (720, 1280)
    with Server(ANY_PORT) as server, connected(server.port) as (_, slow), connected(server.port) as (_, quick):
        wait_until(lambda: server.clients == 2)
        for number in range(60):  # 110 MB, of which the slow one reads nothing
            server.publish(numbered(number, hw))
            assert next_pair(quick)[0] == number
        numbers = [next_pair(slow)[0]]
        while numbers[-1] != 59:
            numbers.append(next_pair(slow)[0])
        assert numbers == sorted(set(numbers))
        assert len(numbers) < 20


def test_garbage_and_too_many_clients_are_closed_and_the_others_go_on() -> None:
    with Server(ANY_PORT) as server, connected(server.port) as (_, reader), connected(server.port) as (other, _):
        wait_until(lambda: server.clients == 2)
        other.sendall(b"GET / HTTP/1.1\r\n" + b"x" * 100)
        wait_until(lambda: server.clients == 1)
        server.publish(numbered(1))
        assert next_pair(reader)[0] == 1
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        crowd[-1].settimeout(5)
        assert crowd[-1].recv(1) == b""
        for connection in crowd:
            connection.close()
        wait_until(lambda: server.clients == 1)
        server.publish(numbered(2))
        assert next_pair(reader)[0] == 2


def test_a_port_in_use_is_refused_before_anything_starts() -> None:
    with Server(ANY_PORT) as server:
        taken = OpenIgtLinkConfig(port=server.port)
        with pytest.raises(UsageError, match=f"port {server.port} .*choose another port"):
            check_port(taken)
    with pytest.raises(UsageError, match="cannot listen on"):
        check_port(OpenIgtLinkConfig(host="203.0.113.1", port=0))


def test_another_host_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    Server(ANY_PORT).close()
    assert not caplog.records
    Server(OpenIgtLinkConfig(host="0.0.0.0", port=0)).close()
    assert "neither encryption nor a password" in caplog.text


CLIENT = """
import sys, time, pyigtl
client = pyigtl.OpenIGTLinkClient("127.0.0.1", int(sys.argv[1]))
image = client.wait_for_message("usassist_image", timeout=20)
outline = client.wait_for_message("usassist_outline", timeout=20)
text = client.wait_for_message("usassist_result", timeout=20)
print(image.image.shape, outline.image.shape, int(outline.image.max()), text.string, flush=True)
"""


def test_a_real_client_is_served_from_the_bus_and_comes_back_after_a_loss(bus_address: str) -> None:
    pytest.importorskip("pyigtl", reason="pyigtl is not installed: pip install 'usassist[openigtlink]'")
    stop, ports = threading.Event(), []
    serving = threading.Thread(
        target=serve_openigtlink, args=(bus_address, ANY_PORT, stop), kwargs={"on_ready": ports.append}
    )
    clock = MonotonicClock()
    with closing(Publisher(bus_address, "us0", clock)) as publisher:
        serving.start()
        wait_until(lambda: bool(ports))
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", CLIENT, str(ports[0])],
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[3],
            )
            for _ in range(2)
        ]
        number = 0
        while any(client.poll() is None for client in clients):
            if number % 20 == 0:
                publisher.event("engine", ENGINE)
                publisher.event("session", SESSION)
            now_ns = clock.now_ns()
            publisher.frame(make_frame(number, HW, t_capture_ns=now_ns))
            stamps = {"t_capture_ns": now_ns, "t_infer_start_ns": now_ns, "t_infer_end_ns": now_ns}
            publisher.result(make_result(number, **stamps))
            number += 1
            time.sleep(0.02)
        for client in clients:
            said, _ = client.communicate()
            assert client.returncode == 0
            assert said.startswith("(1, 48, 64) (1, 48, 64) ")
            assert '"state":' in said
        with connected(ports[0]) as (_, reader):  # after both have gone
            publisher.frame(make_frame(number, HW, t_capture_ns=clock.now_ns()))
            publisher.result(make_result(number, ResultState.NO_RESULT, t_capture_ns=clock.now_ns()))
            message = reader.read(10.0)
            assert message is not None
        stop.set()
        serving.join(10)
    assert not serving.is_alive()
