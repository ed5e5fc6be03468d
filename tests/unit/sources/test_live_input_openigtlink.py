"""An OpenIGTLink server as a live input: pyigtl in a process of its own, and peers that send what they should not."""

from __future__ import annotations

import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.in_thread import InThread
from usassist.common.clock import MonotonicClock
from usassist.common.openigtlink.packing import image_content, pack, string_content, transform_content
from usassist.errors import SourceError, UsageError
from usassist.records import Frame, Pose, PoseStatus, SignalState
from usassist.sources import SourceOptions
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions, open_grabber
from usassist.sources.live import LiveSource

pytest.importorskip("pyigtl", reason="pyigtl is not installed: pip install 'usassist[openigtlink]'")
from tests.doubles.igtl_server import BEGIN_S, HW_PX, picture

QUICK = GrabOptions(open_timeout_s=1.0, read_timeout_s=1.0)
PATIENT = GrabOptions(open_timeout_s=10.0, read_timeout_s=5.0)
T_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333
SPACED = np.diag([0.25, 0.125, 1.0, 1.0])  # column step first

Serve = Callable[..., str]


class Peer:
    """Sends bytes to everyone who connects; then it is silent, or closes."""

    def __init__(self, *turns: bytes, closes: bool = False) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._turns, self._closes = turns, closes
        self._connections: list[socket.socket] = []
        self.connected = 0
        self.received = b""
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                self.connected += 1
                data = self._turns[min(self.connected, len(self._turns)) - 1] if self._turns else b""
                threading.Thread(target=self._send, args=(connection, data), daemon=True).start()

    def _send(self, connection: socket.socket, data: bytes) -> None:
        with suppress(OSError):
            connection.sendall(data)
            if self._closes:
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(4096):
                    self.received += piece

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    peers: list[Peer] = []

    def start(*turns: bytes, query: str = "", closes: bool = True) -> str:
        peers.append(Peer(*turns, closes=closes))
        return f"openigtlink://127.0.0.1:{peers[-1].port}{query}"

    yield start
    for peer in peers:
        peer.close()


def message(
    kind: str, device: str, number: int, content: list[bytes | memoryview], version: int = 1, **more: str
) -> bytes:
    stamp_ns = T_NS + number * PERIOD_NS
    return b"".join(pack(kind, device, stamp_ns, content, version=version, metadata=more))


def image(number: int = 0, matrix: np.ndarray = SPACED, device: str = "Image", channels: int = 1) -> bytes:
    pixels = picture(number)[0]
    return message("IMAGE", device, number, image_content(pixels if channels == 1 else np.dstack([pixels] * 3), matrix))


def probe(number: float, version: int = 1, **more: str) -> bytes:
    matrix = np.eye(4)
    matrix[0, 3] = number
    stamp_ns = T_NS + round(number * PERIOD_NS)
    content = transform_content(matrix)
    return b"".join(pack("TRANSFORM", "ProbeToReference", stamp_ns, content, version=version, metadata=more))


def other_image(*, scalar: int = 3, components: int = 1, planes: int = 1, pixels: int = 1) -> bytes:
    """An image of another kind; `pixels` are its bytes per pixel of one plane."""
    height, width = HW_PX
    head = struct.pack(">HBBBB3H", 1, components, scalar, 2, 1, width, height, planes)
    head += struct.pack(">12f6H", *SPACED[:3, :3].T.ravel(), 0, 0, 0, 0, 0, 0, width, height, planes)
    return message("IMAGE", "Image", 0, [head, bytes(pixels * height * width)])


def grab_all(address: str, options: GrabOptions = QUICK) -> tuple[list[Grab], str]:
    """Everything that arrives, and why it ended."""
    grabs: list[Grab] = []
    with open_grabber(address, options) as grabber:
        try:
            grabs.extend(grabber.grabs())
        except SourceError as error:
            return grabs, str(error)
    return grabs, ""


@pytest.mark.parametrize("version", [1, 2])
def test_images_and_their_own_poses_come_from_a_real_server(version: int) -> None:
    pytest.importorskip("pyigtl", reason="pyigtl is not installed: pip install 'usassist[openigtlink]'")
    command = [sys.executable, "-m", "tests.doubles.igtl_server", "8", str(version)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as server:
        assert server.stdout is not None
        address = (
            f"openigtlink://127.0.0.1:{int(server.stdout.readline())}?pose=ProbeToReference,embedded&spacing_sd=0.02"
        )
        with open_grabber(address, PATIENT) as grabber:
            grabs = list(itertools.islice(grabber.grabs(), 8))
        server.kill()
    for grab in grabs:
        assert grab.pts is not None
        number = round((grab.pts / 1e9 - BEGIN_S) * 32)
        np.testing.assert_array_equal(grab.screen.image, picture(number)[0])
        assert (grab.spacing_rc_mm, grab.spacing_rel_sd) == ((0.2, 0.1), 0.02)
        pose, embedded = grab.poses
        if version > 1 and number % 3 == 0:
            assert (pose.status, pose.matrix_mm) == (PoseStatus.INVALID, None)
        elif pose.status is PoseStatus.VALID:  # on a busy machine a transform may come too late, which is said
            assert pose.matrix_mm is not None
            assert (pose.matrix_mm[3], pose.sender_stamp_ns) == (number, grab.pts)
        assert embedded.matrix_mm is not None
        assert embedded.matrix_mm[3] == pytest.approx(5.0, abs=1e-5)
        assert grab.t_capture_ns <= grab.t_decoded_ns
    assert sum(grab.poses[0].status is not PoseStatus.STALE for grab in grabs) >= 3
    assert [grab.number for grab in grabs] == sorted({grab.number for grab in grabs})
    assert grabber.description == "OpenIGTLink, 96 x 64 px"


def test_a_pose_is_that_of_the_image_and_never_the_last_value(serve: Serve) -> None:
    data = image(0) + probe(0) + probe(1) + image(1) + image(2) + probe(6) + image(7) + image(9) + probe(9)
    grabs, _ = grab_all(serve(data, query="?pose=ProbeToReference,NeedleToReference"))
    said = [(pose.status, pose.matrix_mm and pose.matrix_mm[3]) for pose in (grab.poses[0] for grab in grabs)]
    valid, stale = PoseStatus.VALID, (PoseStatus.STALE, None)
    assert said == [(valid, 0.0), (valid, 1.0), stale, stale, (valid, 9.0)]
    assert {grab.poses[1] for grab in grabs} == {Pose(name="NeedleToReference", status=PoseStatus.MISSING)}


def test_the_nearest_pose_of_a_tracker_with_stamps_of_its_own_counts(serve: Serve) -> None:
    data = probe(3.7) + probe(4.2) + image(4) + probe(4.7) + image(5)
    grabs, _ = grab_all(serve(data, query="?pose=ProbeToReference"))
    matrices = [grab.poses[0].matrix_mm for grab in grabs]
    assert [matrix and round(matrix[3], 3) for matrix in matrices] == [4.2, 4.7]


def test_names_are_cut_to_the_twenty_characters_that_senders_cut_them_to(serve: Serve) -> None:
    long = "StylusTipToTrackerReference"
    pose = probe(0).replace(b"ProbeToReference\0\0\0\0", long[:20].encode())
    (grab,), _ = grab_all(
        serve(pose + image(device="ImageOfTheWholeScree"), query=f"?pose={long}&device=ImageOfTheWholeScreen")
    )
    assert [(pose.name, pose.status) for pose in grab.poses] == [(long, PoseStatus.VALID)]


def test_an_image_without_a_time_stamp_has_no_pose(serve: Serve) -> None:
    without = image()[:34] + bytes(8) + image()[42:]
    address = serve(probe(0) + without, query="?pose=ProbeToReference")
    grabs, _ = grab_all(address)
    assert [(grab.poses[0].status, grab.pts) for grab in grabs] == [(PoseStatus.MISSING, None)]


@pytest.mark.parametrize(
    ("matrix", "query", "expected"),
    [
        (SPACED, "", None),
        (SPACED, "?spacing_sd=0.03", (0.125, 0.25)),
        (np.eye(4), "?spacing_sd=0.03", None),
        (np.diag([-1.0, -1.0, 1.0, 1.0]), "?spacing_sd=0.03", None),
        (np.diag([0.0, 0.1, 1.0, 1.0]), "?spacing_sd=0.03", None),
    ],
)
def test_a_scale_needs_an_uncertainty_and_one_millimetre_is_none(
    serve: Serve, matrix: np.ndarray, query: str, expected: tuple[float, float] | None
) -> None:
    (grab,), _ = grab_all(serve(image(matrix=matrix), query=query))
    assert grab.spacing_rc_mm == expected
    assert grab.spacing_rel_sd == (None if expected is None else 0.03)


def test_pixels_are_mirrored_where_that_is_asked_for_and_the_matrix_with_them(serve: Serve) -> None:
    (plain,), _ = grab_all(serve(image(channels=3), query="?pose=embedded"))
    (mirrored,), _ = grab_all(serve(image(channels=3), query="?pose=embedded&flip=xy"))
    np.testing.assert_array_equal(mirrored.screen.image, plain.screen.image[::-1, ::-1])
    matrix = np.array(mirrored.poses[0].matrix_mm).reshape(3, 4)
    last_px = np.array([HW_PX[1] - 1, HW_PX[0] - 1, 0, 1])
    np.testing.assert_allclose(matrix @ last_px, [0, 0, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("data", "query", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 60, "", "not OpenIGTLink"),
        (b"\0\7" + image()[2:], "", "version 7"),
        (image()[:-5], "", "in the middle of a message"),
        (image()[:42] + (1 << 50).to_bytes(8, "big") + image()[50:], "", "states a length"),
        (image().replace(b"\0\1\1\3\2", b"\0\1\1\5\2", 1), "?crc=none", "states a length"),
        (other_image(scalar=5, pixels=2), "", "uint16"),
        (other_image(components=4, pixels=4), "", "4 values per pixel"),
        (other_image(planes=3, pixels=3), "", "volumes of 3 planes"),
        (message("IMAGE", "I", 0, [image_content(picture(0)[0], SPACED)[0][:10]]), "", "shorter than its head"),
        (message("STRING", "patient-last-name", 0, string_content("Invented^Patient")), "", "has closed"),
        (image(device="Other"), "?device=Image", "has closed"),
        (b"".join(image()[:-1] + b"\x01" for _ in range(6)), "", "checksums of the messages are wrong"),
        (b"", "", "has closed the connection"),
    ],
)
def test_what_cannot_be_used_ends_with_one_line(serve: Serve, data: bytes, query: str, words: str) -> None:
    grabs, problem = grab_all(serve(data, query=query))
    assert not grabs
    assert problem.startswith("openigtlink: ")
    assert words in problem
    assert "Invented" not in problem


def test_a_silent_sender_is_given_up_and_told_from_one_that_sends_other_things(serve: Serve) -> None:
    texts = message("STRING", "patient-last-name", 0, string_content("Invented^Patient")) + image(device="Image_Probe")
    for data, query, words in (
        (b"", "", "no messages arrive"),
        (
            texts,
            "?device=Image",
            "no image of the device Image arrives, only IMAGE Image_Probe, STRING patient-last-name",
        ),
        (image()[:500], "", "a message does not arrive whole"),
    ):
        _, problem = grab_all(serve(data, query=query, closes=False))
        assert words in problem
        assert "Invented" not in problem


def test_one_damaged_image_is_left_out_and_counted(serve: Serve) -> None:
    data = image(0) + image(1)[:-1] + b"\xff" + image(2)
    grabs, _ = grab_all(serve(data))
    assert [(grab.screen.image[0, 0], grab.damaged) for grab in grabs] == [(0, False), (2, True)]
    (grab, *_), _ = grab_all(serve(image(1)[:-1] + b"\xff", query="?crc=none"))
    assert grab.screen.image[-1, -1] == 255


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("openigtlink:", "malformed"),
        ("openigtlink://", "malformed"),
        ("openigtlink://host:x", "malformed"),
        ("openigtlink://host/path", "malformed"),
        ("openigtlink://user:secret@host", "malformed"),
        ("openigtlink://host?device", "malformed"),
        ("openigtlink://host?device=a&device=b", "malformed"),
        ("openigtlink://host?colour=1", "no setting colour"),
        ("openigtlink://host?pose=a,a", "each pose once"),
        ("openigtlink://host?spacing_sd=2", "not between 0 and 0.5"),
        ("openigtlink://host?spacing_sd=x", "not between 0 and 0.5"),
        ("openigtlink://host?flip=z", "flip=z"),
        ("openigtlink://host?crc=no", "crc=no"),
    ],
)
def test_a_malformed_address_is_refused(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        open_grabber(address, QUICK)
    assert "secret" not in str(error.value)


def test_nobody_there_is_a_source_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="refuses the connection"):
            open_grabber(f"openigtlink://127.0.0.1:{free.getsockname()[1]}", QUICK)
    with pytest.raises(SourceError, match="cannot be resolved"):
        open_grabber("openigtlink://no-such-host.invalid", QUICK)


def test_a_close_from_another_thread_ends_a_read_at_once(serve: Serve) -> None:
    grabber = open_grabber(serve(b"", closes=False), PATIENT)
    threading.Timer(0.05, grabber.close).start()
    began_s = time.monotonic()
    assert list(grabber.grabs()) == []
    assert time.monotonic() - began_s < PATIENT.read_timeout_s


def test_a_live_source_loses_the_signal_with_a_reason_and_finds_it_again(serve: Serve) -> None:
    """The first connection breaks off in the middle of an image, the second brings garbage, the third goes on."""
    first = b"".join(image(number) + probe(number) for number in range(6)) + image(6)[:100]
    later = [b"".join(image(20 * k + n) + probe(20 * k + n) for n in range(20)) for k in range(1, 6)]
    address = serve(first, b"garbage" * 30, *later, query="?pose=ProbeToReference&spacing_sd=0.02")
    options = SourceOptions(session_id="s", clock=MonotonicClock(), crop=(0, 0, HW_PX[1], HW_PX[0]))
    frames: list[Frame] = []
    reasons: set[str] = set()
    with LiveSource(InThread(lambda: open_grabber(address, PATIENT)), options, kind="openigtlink") as source:
        watch = threading.Event()

        def look() -> None:
            while not watch.wait(0.005):
                if source.signal.state is SignalState.LOST:
                    reasons.add(source.signal.reason)

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        for frame in source.frames():
            frames.append(frame)
            if frame.pts is not None and frame.pts >= T_NS + 30 * PERIOD_NS:
                break
        watch.set()
        looking.join()
        assert source.signal.reconnects >= 2
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))  # no image twice
    assert any("in the middle of a message" in reason or "not OpenIGTLink" in reason for reason in reasons)
    for frame in frames:
        assert frame.pts is not None
        number = round((frame.pts - T_NS) / PERIOD_NS)
        assert frame.image[0, 0] == number
        matrix = frame.poses[0].matrix_mm
        assert matrix is None or matrix[3] == number
        # 64 rows of 0.125 mm are a depth of 8 mm, which no scanner has
        assert frame.spacing_rc_mm is None
