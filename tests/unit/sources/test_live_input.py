"""Live inputs over real sockets, pipes and FIFOs of this machine."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from usassist.errors import SourceError, UsageError
from usassist.sources.grab import Grab, Grabber
from usassist.sources.inputs.address import GrabOptions, is_live, open_grabber
from usassist.sources.inputs.network import has_protocol

WRITER = Path(__file__).with_name("stream_writer.py")
Send = Callable[..., subprocess.Popen[bytes]]
QUICK = GrabOptions(open_timeout_s=0.3, read_timeout_s=0.3)
PATIENT = GrabOptions(open_timeout_s=10.0, read_timeout_s=1.0)


def job(url: str, format_name: str, *parts: dict[str, Any], **more: Any) -> str:
    parts = parts or ({"wh": [64, 48], "frames": 40},)
    return json.dumps({"url": url, "format": format_name, "rate": 60, "parts": parts} | more)


@pytest.fixture
def send() -> Iterator[Send]:
    writers: list[subprocess.Popen[bytes]] = []

    def start(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        writers.append(subprocess.Popen([sys.executable, str(WRITER), job(*args, **more)], stderr=subprocess.DEVNULL))
        return writers[-1]

    yield start
    for writer in writers:
        writer.kill()
        writer.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*args: Any, **more: Any) -> str:
    return "pipe:" + shlex.join([sys.executable, str(WRITER), job("-", *args, **more)])


def grab_all(grabber: Grabber) -> tuple[list[Grab], SourceError | None]:
    grabs: list[Grab] = []
    try:
        grabs.extend(grabber.grabs())
    except SourceError as error:
        return grabs, error
    finally:
        grabber.close()
    return grabs, None


def check_order(grabs: list[Grab]) -> None:
    numbers = [grab.number for grab in grabs]
    assert numbers == sorted(set(numbers))
    stamps = [grab.t_capture_ns for grab in grabs]
    assert stamps == sorted(stamps)
    assert all(grab.t_capture_ns <= grab.t_decoded_ns for grab in grabs)


# Addresses


@pytest.mark.parametrize(
    ("address", "live"),
    [
        ("v4l2:/dev/video0", True),
        ("rtsp://host/a", True),
        ("udp://host:1", True),
        ("tcp://host:1", True),
        ("srt://host:1", True),
        ("pipe:cat x", True),
        ("screen:0,0,8,8", True),
        ("clip:a.mkv", False),
        ("udp", False),
        ("/data/udp:1.mkv", False),
        ("http://host/a", False),
        ("", False),
    ],
)
def test_live_addresses_are_recognised(address: str, live: bool) -> None:
    assert is_live(address) is live


def test_unknown_scheme_names_those_that_exist() -> None:
    with pytest.raises(UsageError, match=r"v4l2:"):
        open_grabber("gopher://host:1")


@pytest.mark.parametrize(
    "address",
    [
        "udp:127.0.0.1:5000",
        "udp://127.0.0.1",
        "tcp://:5000",
        "tcp://host:notaport",
        "tcp://host:99999",
        "rtsp://",
        "rtsp://host/a?listen=2",
        "udp://127.0.0.1:5000?listen=1",
        "tcp://host:1?hw=gpu",
        "pipe:",
        "pipe:'unbalanced",
        "v4l2:",
        "v4l2:/dev/video0,size=big",
        "v4l2:/dev/video0,rate=0",
        "v4l2:/dev/video0,format=jpeg2000",
        "v4l2:/dev/video0,hw=gpu",
        "screen:0,0,8",
        "screen:0,0,0,8",
        "screen:-1,0,8,8",
        "screen:0,0,8,8,rate=0",
        "screen:0,0,8,8,display=x;y",
    ],
)
def test_malformed_address_is_wrong_use(address: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)write |check its quotes"):
        open_grabber(address, QUICK)


# Network


def test_udp_stream_is_read_and_its_end_is_reported(port: int, send: Send) -> None:
    send(f"udp://127.0.0.1:{port}", "mpegts")
    grabber = open_grabber(f"udp://127.0.0.1:{port}", PATIENT)
    assert grabber.description == "udp, h264"
    assert grabber.rate_hz == pytest.approx(60)
    grabs, error = grab_all(grabber)
    assert len(grabs) >= 5
    check_order(grabs)
    assert {grab.screen.image.shape for grab in grabs} == {(48, 64, 3)}
    assert {grab.stamp for grab in grabs} == {"arrival"}
    assert error is not None
    assert "no more data arrive" in str(error)


def test_last_frame_before_silence_is_not_delivered_late(port: int, send: Send) -> None:
    send(f"udp://127.0.0.1:{port}", "mpegts", stay_s=30)
    grabs, error = grab_all(open_grabber(f"udp://127.0.0.1:{port}", PATIENT))
    assert error is not None
    gaps_ns = [after.t_capture_ns - before.t_capture_ns for before, after in itertools.pairwise(grabs)]
    assert max(gaps_ns) < PATIENT.read_timeout_s * 1e9


def test_tcp_listener_reads_until_the_sender_closes(port: int, send: Send) -> None:
    send(f"tcp://127.0.0.1:{port}", "mpegts")
    grabs, error = grab_all(open_grabber(f"tcp://127.0.0.1:{port}?listen=1", PATIENT))
    assert error is None
    assert len(grabs) >= 5
    check_order(grabs)


def test_tcp_client_reads_from_a_sender_that_listens(port: int, send: Send) -> None:
    writer = send(f"tcp://127.0.0.1:{port}?listen=1", "nut", {"wh": [64, 48], "frames": 40, "codec": "rawvideo"})
    grabs, error = retry_refused(lambda: open_grabber(f"tcp://127.0.0.1:{port}", PATIENT), writer)
    assert error is None
    assert len(grabs) >= 5


def retry_refused(
    open_it: Callable[[], Grabber], writer: subprocess.Popen[bytes]
) -> tuple[list[Grab], SourceError | None]:
    while writer.poll() is None:
        try:
            return grab_all(open_it())
        except SourceError as error:
            if "refuses" not in str(error):
                raise
            time.sleep(0.05)
    raise AssertionError("the writer ended before it was read")


def test_rtsp_listener_is_pushed_to(port: int, send: Send) -> None:
    url = f"rtsp://127.0.0.1:{port}/scanner"
    send(url, "rtsp", options={"rtsp_transport": "tcp"})
    grabber = open_grabber(f"{url}?listen=1", PATIENT)
    assert grabber.description == "rtsp, h264"
    grabs, _ = grab_all(grabber)
    assert len(grabs) >= 5
    check_order(grabs)


def test_change_of_size_in_mid_stream_is_another_shape(port: int, send: Send) -> None:
    parts = [{"wh": [64, 48], "frames": 40}, {"wh": [128, 96], "frames": 40}]
    send(f"udp://127.0.0.1:{port}", "mpegts", *parts)
    grabs, _ = grab_all(open_grabber(f"udp://127.0.0.1:{port}", PATIENT))
    shapes = [grab.screen.image.shape for grab in grabs]
    assert shapes[0] == (48, 64, 3)
    assert shapes[-1] == (96, 128, 3)
    check_order(grabs)


def test_change_of_codec_in_mid_stream_is_an_error(port: int, send: Send) -> None:
    parts = [{"wh": [64, 48], "frames": 40}, {"wh": [64, 48], "frames": 200, "codec": "mpeg2video"}]
    send(f"udp://127.0.0.1:{port}", "mpegts", *parts, rate=100)
    grabs, error = grab_all(open_grabber(f"udp://127.0.0.1:{port}", PATIENT))
    assert error is not None
    assert "could not be decoded" in str(error)
    assert len(grabs) < 100


def test_garbage_is_no_video(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:

        def talk() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(bytes(range(256)) * 4096)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(SourceError, match="no video that can be read"):
            open_grabber(f"tcp://127.0.0.1:{port}", PATIENT)
        thread.join()


def test_playlist_cannot_make_it_open_a_file(port: int, tmp_path: Path) -> None:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n"
    with socket.create_server(("127.0.0.1", port)) as server:

        def talk() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(text.encode())

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(SourceError, match="no video that can be read"):
            open_grabber(f"tcp://127.0.0.1:{port}", PATIENT)
        thread.join()


@pytest.mark.parametrize("scheme", ["udp", "tcp", "rtsp"])
def test_silent_peer_is_given_up(scheme: str, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(SourceError, match="no data arrived in time"):
        open_grabber(f"{scheme}://127.0.0.1:{port}", QUICK)


@pytest.mark.parametrize("scheme", ["tcp", "rtsp"])
def test_listener_without_a_sender_gives_up(scheme: str, port: int) -> None:
    with pytest.raises(SourceError, match="no data arrived in time"):
        open_grabber(f"{scheme}://127.0.0.1:{port}/a?listen=1", QUICK)


@pytest.mark.parametrize("scheme", ["tcp", "rtsp"])
def test_refused_connection_has_a_remedy_and_hides_the_password(scheme: str, port: int) -> None:
    with pytest.raises(SourceError, match="refuses the connection; check") as caught:
        open_grabber(f"{scheme}://doctor:geheim@127.0.0.1:{port}/room7", QUICK)
    assert not any(word in str(caught.value) for word in ("doctor", "geheim", "room7"))
    assert caught.value.__cause__ is None


def test_unknown_host_is_named_as_the_cause() -> None:
    with pytest.raises(SourceError, match="cannot be resolved") as caught:
        open_grabber("tcp://user:geheim@no-such-host.invalid:5000", QUICK)
    assert "geheim" not in str(caught.value)


def test_port_in_use_is_named_as_the_cause() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        with pytest.raises(SourceError, match="another program reads from this port"):
            open_grabber(f"udp://127.0.0.1:{other.getsockname()[1]}", QUICK)


@pytest.mark.skipif(has_protocol("srt"), reason="this build of PyAV has srt")
def test_missing_protocol_is_one_line_with_another_way() -> None:
    with pytest.raises(SourceError, match="lacks the protocol; send by rtsp"):
        open_grabber("srt://127.0.0.1:5000", QUICK)


# Pipes


def test_program_that_writes_nut_is_read_to_its_end() -> None:
    part = {"wh": [64, 48], "frames": 40, "codec": "rawvideo", "pix_fmt": "gray"}
    grabs, error = grab_all(open_grabber(command("nut", part), PATIENT))
    assert error is None
    check_order(grabs)
    levels = {grab.number: int(grab.screen.image[0, 0]) for grab in grabs}
    first = grabs[0].number
    assert len({(levels[number] - levels[first] - 8 * (number - first)) % (8 * 24) for number in levels}) == 1
    assert len(set(levels.values())) > 5
    assert {grab.screen.image.shape for grab in grabs} == {(48, 64)}
    assert all(grab.screen.image.base is None for grab in grabs)


def test_slow_caller_gets_the_newest_frame() -> None:
    part = {"wh": [64, 48], "frames": 60, "codec": "rawvideo", "pix_fmt": "gray"}
    grabber = open_grabber(command("nut", part), PATIENT)
    grabs = []
    for grab in grabber.grabs():
        grabs.append(grab)
        time.sleep(0.085)  # five periods
    grabber.close()
    skipped = [after.number - before.number for before, after in itertools.pairwise(grabs)]
    assert max(skipped) >= 3


def test_program_that_fails_is_quoted() -> None:
    address = command("nut", {"wh": [64, 48], "frames": 40, "codec": "rawvideo"}, words="the card has no signal")
    grabs, error = grab_all(open_grabber(address, PATIENT))
    assert grabs
    assert error is not None
    assert "ended with code 1" in str(error)
    assert "the card has no signal" in str(error)


def test_program_that_fails_at_once_is_quoted() -> None:
    with pytest.raises(SourceError, match="ended with code 3 \\('no card'\\)"):
        open_grabber("pipe:sh -c 'echo no card >&2; exit 3'", PATIENT)


def test_shell_is_not_involved(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(SourceError):
        open_grabber(f"pipe:echo x > {target}", PATIENT)
    assert not target.exists()


@pytest.mark.parametrize("text", ["no-such-program-here -x", "/no/such/folder/fifo"])
def test_missing_program_has_a_remedy(text: str) -> None:
    with pytest.raises(SourceError, match="there is no program or FIFO"):
        open_grabber(f"pipe:{text}", QUICK)


def test_silent_program_is_given_up_and_ended(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    with pytest.raises(SourceError, match="no data arrive"):
        open_grabber(f"pipe:sh -c 'sleep 60 & echo $! > {noted}; wait'", QUICK)
    assert_ended(int(noted.read_text()))


def assert_ended(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    raise AssertionError("the program that the command started still runs")


def test_close_from_another_thread_ends_a_read_that_waits() -> None:
    address = command("nut", {"wh": [64, 48], "frames": 40, "codec": "rawvideo"}, stay_s=60)
    grabber = open_grabber(address, GrabOptions(open_timeout_s=10, read_timeout_s=60))
    outcome: list[Any] = []
    started = threading.Event()

    def read() -> None:
        try:
            for _ in grabber.grabs():
                started.set()
        except SourceError as error:
            outcome.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert started.wait(20)
    grabber.close()
    grabber.close()
    thread.join(20)
    assert not thread.is_alive()
    assert outcome == []


def test_fifo_is_read(tmp_path: Path, send: Send) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    send(str(fifo), "nut", {"wh": [64, 48], "frames": 40, "codec": "rawvideo"})
    grabber = open_grabber(f"pipe:{fifo}", PATIENT)
    assert grabber.description == "pipe, rawvideo"
    grabs, error = grab_all(grabber)
    assert error is None
    assert len(grabs) >= 5


def test_fifo_without_a_writer_is_given_up(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SourceError, match="no data arrive"):
        open_grabber(f"pipe:{fifo}", QUICK)


def test_descriptors_are_given_back() -> None:
    part = {"wh": [64, 48], "frames": 3, "codec": "rawvideo"}
    grab_all(open_grabber(command("nut", part, paced=False), PATIENT))
    before = len(os.listdir("/proc/self/fd"))
    grab_all(open_grabber(command("nut", part, paced=False), PATIENT))
    assert len(os.listdir("/proc/self/fd")) == before
