from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usassist.common.pyav import av
from usassist.errors import SourceError, UsageError
from usassist.phantom.encoder import CODECS, ScreenEncoder, damage
from usassist.phantom.fault_player import PlayerReport
from usassist.phantom.fault_scanner import FaultScanner
from usassist.phantom.faults import Fault, FaultPlan
from usassist.phantom.serve import open_transport, serve

RATE_HZ, HW_PX = 20.0, (240, 320)
WAIT_S = 20.0


def scanner(*faults: Fault) -> FaultScanner:
    plan = FaultPlan(faults=faults)
    return FaultScanner(plan, seed=2, rate_hz=RATE_HZ, screen_hw_px=HW_PX, loop_s=0.3)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Playing:
    """A player in a thread of its own."""

    def __init__(self, source: FaultScanner, to: str, **options: Any) -> None:
        self.stop, self.log, self.lines = threading.Event(), list[dict[str, Any]](), list[str]()
        self.served: PlayerReport | None = None
        self.error: Exception | None = None
        transport = open_transport(to)

        def run() -> None:
            try:
                self.served = serve(source, transport, self.stop, self.log.append, report=self.lines.append, **options)
            except (SourceError, UsageError) as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["event"] in names]

    def end(self) -> PlayerReport:
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
        assert self.error is None
        assert self.served is not None
        return self.served


@contextmanager
def playing(source: FaultScanner, to: str, **options: Any) -> Iterator[Playing]:
    player = Playing(source, to, **options)
    try:
        yield player
    finally:
        player.stop.set()
        player.thread.join(WAIT_S)


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "condition not met in time"
        time.sleep(0.01)


def read(to: str, *, enough: int | None = None, **options: str) -> list[tuple[int, av.VideoFrame]]:
    """Frame number from the stamp, and the frame, until the stream ends."""
    frames: list[tuple[int, av.VideoFrame]] = []
    small = {"probesize": "100000", "analyzeduration": "300000"}
    with av.open(to, options={**small, **options}, timeout=(WAIT_S, 1.5)) as container:
        try:
            for packet in container.demux(video=0):
                try:
                    decoded = packet.decode()
                except av.error.InvalidDataError:  # a stream that is joined in its middle begins so
                    continue
                for frame in decoded:
                    assert isinstance(frame, av.VideoFrame)
                    assert frame.pts is not None
                    assert frame.time_base is not None
                    frames.append((round(frame.pts * frame.time_base * RATE_HZ), frame))
                if enough is not None and len(frames) >= enough:
                    break
        except av.error.ExitError:  # a silent UDP sender
            pass
    return frames


def numbers_increase(frames: list[tuple[int, av.VideoFrame]]) -> bool:
    numbers = [number for number, _ in frames]
    return numbers == sorted(set(numbers))


def psnr_db(frame: av.VideoFrame, screen: np.ndarray[Any, Any]) -> float:
    """Peak signal to noise ratio, dB."""
    error = frame.to_ndarray(format="rgb24").astype(float) - screen
    return float(10 * np.log10(255**2 / max(np.mean(error**2), 1e-9)))


def test_udp_frames_carry_their_number_and_faults_are_logged_as_sent() -> None:
    source = scanner(Fault(kind="black", at_s=2.0, for_s=0.5), Fault(kind="glitch", at_s=3.0))
    port = free_port(socket.SOCK_DGRAM)
    to = f"udp://127.0.0.1:{port}"
    with playing(source, to, seconds=3.5) as player:
        frames = read(to)
        served = player.end()
    assert served.frames + served.skipped == 70
    assert len(frames) >= 20
    assert numbers_increase(frames)
    for number, frame in frames[-3:]:
        screen = source.at(number).screen
        assert screen is not None
        assert psnr_db(frame, screen) > 28
    logged = [(entry["event"], entry["kind"]) for entry in player.events("begin", "end")]
    assert logged == [("begin", "black"), ("end", "black"), ("begin", "glitch"), ("end", "glitch")]
    stamps = [entry["t_ns"] for entry in player.log]
    assert stamps == sorted(stamps)
    assert served.faults == tuple(player.events("begin", "end"))
    if served.skipped == 0:
        assert [entry["frame"] for entry in served.faults] == [40, 50, 60, 61]


def test_tcp_player_waits_for_its_reader_and_starts_with_it() -> None:
    source = scanner(Fault(kind="resolution", at_s=0.6, for_s=0.6, settings={"size_hw_px": [360, 480]}))
    to = f"tcp://127.0.0.1:{free_port()}"
    with playing(source, to, seconds=2.0) as player:
        until(lambda: bool(player.lines))
        assert not player.events("start")
        frames = read(to)
        player.end()
    assert player.lines == ["waiting for a reader; the time of the faults starts when it connects"]
    assert numbers_increase(frames)
    assert frames[0][0] <= 10
    sizes = [(frame.height, frame.width) for _, frame in frames]
    assert {(240, 320), (360, 480)} == set(sizes)
    assert sizes[-1] == (240, 320)


def test_rtsp_player_answers_an_ordinary_reader() -> None:
    source = scanner()
    to = f"rtsp://127.0.0.1:{free_port()}/us"
    with playing(source, to) as player:
        frames = read(to, enough=15)
        until(lambda: bool(player.events("reader_left")))
        again = read(to, enough=5, rtsp_transport="tcp")
        player.stop.set()
        served = player.end()
    assert numbers_increase(frames)
    assert numbers_increase(again)
    assert again[0][0] > frames[-1][0]
    screen = source.at(again[-1][0]).screen
    assert screen is not None
    assert psnr_db(again[-1][1], screen) > 28
    assert served.readers_lost >= 1


@pytest.mark.parametrize("codec", ["rawvideo", "ffv1"])
def test_lossless_codec_in_a_fifo_delivers_the_exact_pixels(tmp_path: Path, codec: str) -> None:
    fifo = tmp_path / "us"
    os.mkfifo(fifo)
    source = scanner(Fault(kind="freeze", at_s=0.5, for_s=0.5))
    with playing(source, f"fifo:{fifo}", seconds=1.5, codec=codec) as player:
        frames = read(str(fifo))
        served = player.end()
    assert len(frames) == served.frames
    for number, frame in frames:
        np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), source.at(number).screen)


def test_fifo_accepts_the_next_reader_after_one_disconnects(tmp_path: Path) -> None:
    fifo = tmp_path / "us"
    os.mkfifo(fifo)
    with playing(scanner(), str(fifo)) as player:
        first = read(str(fifo), enough=4)
        until(lambda: bool(player.events("reader_left")))
        second = read(str(fifo), enough=4)
        player.stop.set()
        player.end()
    assert second[0][0] > first[-1][0]
    assert "a reader disconnected; waiting for the next one" in player.lines


def test_a_reader_that_disconnects_is_an_error_with_once() -> None:
    to = f"tcp://127.0.0.1:{free_port()}"
    with playing(scanner(), to, once=True) as player:
        read(to, enough=2)
        player.thread.join(WAIT_S)
        assert isinstance(player.error, SourceError)
        assert "--once" in str(player.error)


def test_closed_unplug_closes_the_connection_and_refuses_new_ones_until_it_ends() -> None:
    source = scanner(Fault(kind="unplug", at_s=0.5, for_s=1.5, settings={"how": "closed"}))
    port = free_port()
    to = f"tcp://127.0.0.1:{port}"
    with playing(source, to) as player:
        first = read(to)  # ends because the connection does
        until(lambda: bool(player.events("begin")))
        if not player.events("end"):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        until(lambda: bool(player.events("end")))
        second = read(to, enough=3)
        player.stop.set()
        player.end()
    assert first[-1][0] < 10
    assert second[0][0] >= 40


def test_silent_unplug_keeps_the_connection() -> None:
    source = scanner(Fault(kind="unplug", at_s=0.6, for_s=0.5))
    to = f"tcp://127.0.0.1:{free_port()}"
    with playing(source, to, seconds=2.0) as player:
        numbers = {number for number, _ in read(to)}
        served = player.end()
    assert numbers.isdisjoint(range(12, 22))
    assert max(numbers) >= 22
    assert served.readers_lost == 0
    assert len(player.events("reader")) <= 1


def test_damage_hits_the_requested_share_and_no_headers() -> None:
    data = bytes(188 * 1000)
    rng = np.random.default_rng(1)
    assert damage(data, 0.0, rng) == data
    packets = np.frombuffer(damage(data, 0.25, rng), np.uint8).reshape(1000, 188)
    assert 180 < int((packets != 0).any(axis=1).sum()) < 320
    assert not packets[:, :4].any()


def test_a_damaged_stream_gives_different_frames() -> None:
    source = scanner(Fault(kind="corrupt", at_s=1.0, for_s=1.0, settings={"share": 0.2}))
    to = f"tcp://127.0.0.1:{free_port()}"
    with playing(source, to, seconds=2.5) as player:
        frames = read(to)
        player.end()
    quality: dict[bool, list[float]] = {False: [], True: []}
    for number, frame in frames:
        screen = source.at(number).screen
        assert screen is not None
        quality[20 <= number < 40].append(psnr_db(frame, screen))
    assert min(quality[True]) < 24 < np.median(quality[False])


@pytest.mark.parametrize(("container", "codec"), [(c, name) for c, names in CODECS.items() for name in names])
def test_every_codec_gives_a_stream_that_can_be_read(tmp_path: Path, container: str, codec: str) -> None:
    encoder = ScreenEncoder(container, codec, HW_PX, RATE_HZ)
    source = scanner()
    screens = [frame.screen for frame in source.frames(0.5)]
    path = tmp_path / "stream"
    path.write_bytes(b"".join(encoder.encode(screen, k) for k, screen in enumerate(screens) if screen is not None))
    frames = read(str(path))
    assert [number for number, _ in frames] == list(range(10))
    assert min(psnr_db(frame, screens[number]) for number, frame in frames if screens[number] is not None) > 27


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("udp://127.0.0.1", "no host and port"),
        ("tcp://:5000", "no host and port"),
        ("rtsp://127.0.0.1:70000/us", "no host and port"),
        ("ftp://127.0.0.1:21", "cannot send there"),
        ("", "cannot send there"),
        ("fifo:", "cannot send there"),
        ("fifo:{folder}/none", "no FIFO none"),
        ("{folder}/file", "file is not a FIFO"),
    ],
)
def test_an_invalid_address_is_one_clear_line(tmp_path: Path, to: str, message: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=message) as caught:
        open_transport(to.format(folder=tmp_path))
    assert str(tmp_path) not in str(caught.value)


def test_a_taken_port_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for scheme in ("tcp", "rtsp"):
            with pytest.raises(SourceError, match=f"port {port}.*choose another port"):
                open_transport(f"{scheme}://127.0.0.1:{port}")


def test_codec_that_the_container_cannot_hold_is_refused() -> None:
    to = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    for codec in ("libx264", "ffv1"):
        with pytest.raises(UsageError, match=f"{codec} is not known for mpegts; choose one of mpeg2video, mpeg4"):
            serve(scanner(), to, threading.Event(), codec=codec, seconds=0.1)


def test_log_is_a_file_of_lines_and_one_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    to = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    source = scanner(Fault(kind="depth", at_s=0.2, for_s=0.2))
    before_ns = time.monotonic_ns()
    serve(source, to, threading.Event(), tmp_path / "log.jsonl", seconds=0.6)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["open", "start", "begin", "end", "stop"]
    assert lines[0]["faults"] == [{"kind": "depth", "at_s": 0.2, "for_s": 0.2, "depth_mm": 60.0}]
    assert tuple(lines[2]["scan_xyxy_px"]) != source.scan_xyxy_px == tuple(lines[3]["scan_xyxy_px"])
    assert all(before_ns <= line["t_ns"] <= time.monotonic_ns() for line in lines)
    with pytest.raises(SourceError, match=r"log\.jsonl cannot be written"):
        serve(source, to, threading.Event(), tmp_path / "none" / "log.jsonl", seconds=0.1)


def test_command_prints_one_document_and_refuses_wrong_use(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "usassist", "phantom", "serve", "--size", "240x320", "--rate", "10", "--json"]
    to = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    done = subprocess.run([*command, "--to", to, "--seconds", "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    served = json.loads(done.stdout)
    assert served["frames"] + served["skipped"] == 10
    assert "rendering" in done.stderr
    script = tmp_path / "wrong.toml"
    script.write_text("schema = 1\n[[fault]]\nkind = 'fire'\nat_s = 1\nfor_s = 1\n", encoding="utf-8")
    done = subprocess.run([*command, "--to", to, "--faults", str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "fire" in json.loads(done.stdout)["error"]
    assert len(done.stderr.splitlines()) == 1
