"""Live inputs in a process of their own: real processes, with devices that hang, crash and change."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usassist.common.clock import FakeClock
from usassist.errors import SourceError, UsageError, UsAssistError
from usassist.sources.capture.opener import CapturedInput, ProcessOpener
from usassist.sources.capture.process import CaptureProcess
from usassist.sources.capture.ring import SLOTS, RingReader, RingWriter
from usassist.sources.grab import Grab
from usassist.sources.grab_supervisor import GrabSupervisor
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.screen import Layout, Screen

CHILD = Path(__file__).with_name("capture_child.py")
OPTIONS = GrabOptions(open_timeout_s=1.0, read_timeout_s=1.0)
OpenIt = Callable[..., CapturedInput]


@pytest.fixture
def openers() -> Iterator[Callable[..., ProcessOpener]]:
    made: list[ProcessOpener] = []

    def make(**settings: Any) -> ProcessOpener:
        text = ",".join(f"{name}={value}" for name, value in settings.items())
        made.append(ProcessOpener(f"fake:{text}", OPTIONS, entry=(str(CHILD),)))
        return made[-1]

    yield make
    for opener in made:
        opener.close()


def until(condition: Callable[[], Any], what: str = "") -> None:
    end_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.002)


def gone(pid: int) -> bool:
    """True when every thread has ended: while one is ending, the process counts as alive for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return True


def children() -> set[int]:
    """Capture processes of this one; a worker of the tests may have started others, such as an archive."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z" and int(parent) == os.getpid():
                words = (path.parent / "cmdline").read_bytes()
                # Between fork and exec it has the words of this process.
                if CHILD.name.encode() in words or words == Path("/proc/self/cmdline").read_bytes():
                    found.add(int(path.parent.name))
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# What comes out is what went in


@pytest.mark.parametrize("pixel_format", ["gray", "rgb24", "yuv420p", "yuvj422p"])
def test_every_screen_and_every_field_arrives_as_it_was(
    pixel_format: str, openers: Callable[..., ProcessOpener]
) -> None:
    source = openers(frames=3, size="63x47", format=pixel_format).open()
    grabs: list[Grab] = []
    with pytest.raises(SourceError, match="the signal has ended"):
        grabs.extend(source.grabs())
    assert (source.description, source.warnings, source.rate_hz) == ("fake, 25 Hz", ("interlaced",), 25.0)
    assert [grab.number for grab in grabs] == [0, 1, 2]
    assert [grab.damaged for grab in grabs] == [False, True, False]
    for grab in grabs:
        assert (grab.pts, grab.time_base, grab.stamp) == (3003 * grab.number, Fraction(1, 90_000), "driver")
        assert grab.t_decoded_ns == grab.t_capture_ns + 1
        assert 0 < time.monotonic_ns() - grab.t_capture_ns < 30e9
        layout = grab.screen.layout
        assert (layout.format, layout.hw_px) == (pixel_format, (47, 63))
        assert [plane.shape for plane in grab.screen.planes] == list(layout.shapes)
        for place, plane in enumerate(grab.screen.planes):
            assert not plane.flags.writeable
            rest = plane[1:] if place == 0 else plane
            assert set(np.unique(rest)) == {grab.number + 40 * place}
        np.testing.assert_array_equal(grab.screen.planes[0][0].reshape(63, -1)[:, 0], np.arange(63))
    if pixel_format.startswith("yuv"):
        assert {grab.screen.layout.colorspace for grab in grabs} == {5}


def test_a_later_warning_arrives_before_its_screen(
    openers: Callable[..., ProcessOpener],
) -> None:
    source, warnings = openers(frames=4, then="warn").open(), []
    with contextlib.suppress(SourceError):
        warnings.extend(len(source.warnings) for _ in source.grabs())
    assert warnings == [1, 1, 2, 2]


def test_a_new_size_in_mid_stream_is_read_from_larger_memory(openers: Callable[..., ProcessOpener]) -> None:
    grabs: list[Grab] = []
    with contextlib.suppress(SourceError):
        for grab in openers(frames=40, then="grow", rate=500).open().grabs():
            grabs.append(grab)
            del grabs[:-6]  # also those of the memory before are kept for a while
            for kept in grabs:
                assert kept.screen.hw_px == ((96, 128) if kept.number % 2 else (48, 64))
                assert set(np.unique(kept.screen.planes[0][1:])) == {kept.number}
    assert grabs[-1].number == 39


def test_screens_that_are_kept_do_not_change_and_do_not_stop_those_that_follow(
    openers: Callable[..., ProcessOpener],
) -> None:
    kept: list[Grab] = []
    with pytest.raises(SourceError):
        kept.extend(openers(frames=30, rate=60).open().grabs())
    assert len(kept) > SLOTS  # all of them, where the machine is not held up
    for grab in kept:
        assert set(np.unique(grab.screen.planes[0][1:])) == {grab.number}


def test_a_slow_reader_loses_screens_and_memory_does_not_grow(openers: Callable[..., ProcessOpener]) -> None:
    numbers = []
    with contextlib.suppress(SourceError):
        for grab in openers(frames=300).open().grabs():
            numbers.append(grab.number)
            time.sleep(0.005)
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 300  # the device was faster: the numbers say how many are missing


def test_a_slot_is_free_again_when_the_last_view_of_it_is_gone() -> None:
    layout = Layout(format="yuv420p", hw_px=(48, 64))
    planes = [np.full(shape, 7, np.uint8) for shape in layout.shapes]
    writer = RingWriter.create(5000)
    reader = RingReader(writer.fd, writer.slots, writer.slot_bytes)
    slot = writer.write(layout, planes)
    assert slot is not None
    screen = Screen.of_planes(layout, reader.read(slot, layout))
    part = screen.planes[1][2:5, 3:9][::-1]
    raw = memoryview(screen.planes[0])
    del screen
    assert reader.in_use == 1
    del part
    assert reader.in_use == 1
    raw.release()
    del raw
    assert reader.in_use == 0
    kept = []
    for _ in range(4 * SLOTS):
        slot = writer.write(layout, planes)
        assert slot is not None  # beyond a few they are copied
        kept.append(reader.read(slot, layout))
    assert 0 < reader.in_use < SLOTS
    with pytest.raises(ValueError, match="slot 99"):
        reader.read(99, layout)
    with pytest.raises(ValueError, match="slot"):
        reader.read(slot, Layout(format="rgb24", hw_px=(4800, 6400)))
    writer.close()
    assert int(kept[0][0][0, 0]) == 7  # what was read outlives the memory's writer


def test_the_slot_of_a_screen_that_was_let_go_is_free_while_the_next_one_is_waited_for(
    openers: Callable[..., ProcessOpener],
) -> None:
    source, numbers = openers(then="hang_read", frames=1).open(), []

    def read() -> None:
        for grab in source.grabs():
            numbers.append(grab.number)
            del grab

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: numbers)
    ring = source._process._ring
    assert ring is not None
    until(lambda: ring.in_use == 0, "its slot is still taken")
    source.kill()
    thread.join(20)


def test_memory_of_another_size_than_reported_is_refused(tmp_path: Path) -> None:
    writer = RingWriter.create(5000)
    with pytest.raises(SourceError, match="wrong size"):
        RingReader(writer.fd, writer.slots, 2 * writer.slot_bytes)
    writer.close()
    with open(tmp_path / "plain", "wb+") as file:
        file.truncate(4096 + 6 * 8192)
        with pytest.raises(OSError, match="Invalid argument"):
            RingReader(file.fileno(), 6, 8192)  # it could shrink under who reads


# Errors and ends


def test_errors_arrive_with_their_class_and_the_process_is_used_again(openers: Callable[..., ProcessOpener]) -> None:
    opener, pids = openers(then="refuse"), set()
    for _ in range(3):
        source = opener.open()
        pids.add(source.pid)
        with pytest.raises(SourceError, match="fake: the device is busy; end the other program"):
            next(source.grabs())
    assert len(pids) == 1
    with pytest.raises(UsageError, match="write size=64x48"):
        next(openers(then="misuse").open().grabs())
    with pytest.raises(UsAssistError, match=r"ZeroDivisionError.*fault of usassist") as caught:
        list(openers(then="fault").open().grabs())
    assert not isinstance(caught.value, SourceError)


def test_a_crashed_process_is_reported_and_leaves_nothing(openers: Callable[..., ProcessOpener]) -> None:
    before = children()
    with pytest.raises(SourceError, match="the capture process was ended by SIGSEGV; it is restarted"):
        list(openers(then="crash").open().grabs())
    assert children() == before


def test_closing_releases_the_device_in_order(openers: Callable[..., ProcessOpener], tmp_path: Path) -> None:
    note = tmp_path / "note"
    opener = openers(then="wait", frames=1, closed=note)
    source = opener.open()
    for grab in source.grabs():
        assert grab.number == 0
        source.close()
        source.close()
    assert note.read_text() == "closed\n" * len(note.read_text().splitlines())
    assert not gone(source.pid)  # it waits for the next one
    opener.close()
    assert gone(source.pid)


def test_a_process_that_died_while_it_waited_is_replaced(openers: Callable[..., ProcessOpener]) -> None:
    opener = openers(frames=1)
    opener.prepare()
    opener.prepare()
    (idle,) = children()
    os.kill(idle, signal.SIGKILL)
    until(lambda: gone(idle))
    grabs = []
    with pytest.raises(SourceError, match="ended"):
        grabs.extend(opener.open().grabs())
    assert len(grabs) == 1


def test_failure_to_start_a_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    gc.collect()
    before = descriptors()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(SourceError, match=r"no capture process can be started .*temporarily unavailable"):
        ProcessOpener("fake:", OPTIONS).open()
    gc.collect()
    assert descriptors() == before


def test_nonsense_from_the_process_is_an_error() -> None:
    process = CaptureProcess(("-c", "import socket, sys; socket.socket(fileno=int(sys.argv[1])).send(b'nonsense')"))
    with pytest.raises(SourceError, match="sent an invalid message"):
        process.receive()
    process.end()


# Hangs


@pytest.mark.parametrize("where", ["hang_open", "hang_open_holding", "hang_read", "hang_read_holding", "hang_close"])
def test_however_a_device_hangs_its_process_is_gone_when_it_is_killed(
    where: str, openers: Callable[..., ProcessOpener]
) -> None:
    source = openers(then=where, frames=1).open()
    seen: list[Any] = []

    def read() -> None:
        try:
            seen.extend(source.grabs())
        except UsAssistError as error:
            seen.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: source.started if "open" in where else seen)
    time.sleep(0.05)
    assert thread.is_alive()
    source.kill()
    thread.join(20)
    assert not thread.is_alive()
    assert gone(source.pid)
    assert all(isinstance(item, Grab) for item in seen)


def test_a_program_that_the_process_started_is_killed_with_it(openers: Callable[..., ProcessOpener]) -> None:
    source = openers(then="program", frames=1, sleep="3600.25").open()
    thread = threading.Thread(target=lambda: list(source.grabs()))
    thread.start()

    def programs() -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes() == b"sleep\x003600.25\x00":
                    found.append(int(path.parent.name))
        return found

    until(programs)
    source.kill()
    thread.join(20)
    until(lambda: not programs(), "the program outlived its process")


def test_a_device_that_hangs_again_and_again_costs_neither_processes_nor_threads_nor_descriptors(
    openers: Callable[..., ProcessOpener],
) -> None:
    clock = FakeClock(10**9)
    supervisor = GrabSupervisor(openers(then="hang_read", frames=2), clock)
    counts: list[int] = []
    before = threading.active_count()
    for number in range(7):
        taken = []

        def got(taken: list[Grab] = taken) -> bool:
            supervisor.supervise()
            grab, _ = supervisor.take(0.01)
            taken += [grab] if grab is not None else []
            return len(taken) == 2

        until(got, f"no screens after hang {number}: {supervisor.problem}")
        clock.advance_ms(1_501)
        supervisor.supervise()
        assert "does not respond" in supervisor.problem
        # One thread more at most: the one that starts capture processes stays.
        until(lambda: not children() and threading.active_count() <= before + 1, "the process is still there")
        del taken[:]  # a screen that is kept keeps the memory that it lies in
        until(lambda: len(counts) < 2 or descriptors() <= counts[1], "its descriptors are still there")
        counts.append(descriptors())
        clock.advance_ms(501)
    assert supervisor.reconnects == 6
    supervisor.close()
    assert not children()


def test_while_one_hangs_another_process_is_got_ready_before_it_is_killed(
    openers: Callable[..., ProcessOpener],
) -> None:
    clock = FakeClock(10**9)
    supervisor = GrabSupervisor(openers(then="hang_read", frames=1), clock)
    supervisor.supervise()
    until(lambda: supervisor.take(0.01)[0] is not None)
    first = children()
    clock.advance_ms(1_130)
    supervisor.supervise()
    spare = children() - first
    assert len(spare) == 1
    clock.advance_ms(371)
    supervisor.supervise()
    clock.advance_ms(101)
    supervisor.supervise()
    assert supervisor.input is not None
    assert {supervisor.input.pid} == spare  # type: ignore[attr-defined]
    until(lambda: supervisor.take(0.01)[0] is not None)
    supervisor.close()
    assert not children()


def test_a_process_that_is_killed_from_outside_is_replaced(openers: Callable[..., ProcessOpener]) -> None:
    clock = FakeClock(10**9)
    supervisor = GrabSupervisor(openers(then="hang_read", frames=1), clock)
    for number in range(2):
        supervisor.supervise()
        until(lambda: supervisor.take(0.01)[0] is not None)
        assert supervisor.problem == ""
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)

        def is_reported() -> bool:
            supervisor.supervise()
            return "was ended by SIGKILL" in supervisor.problem

        until(is_reported, f"{number}: {supervisor.problem}")
        clock.advance_ms(501)
    supervisor.close()


def test_a_process_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys; from usassist.sources.capture.opener import ProcessOpener; "
        "from usassist.sources.inputs.address import GrabOptions; "
        f"opener = ProcessOpener('fake:then=hang_read_holding,frames=1', GrabOptions(), entry=({str(CHILD)!r},)); "
        "source = opener.open(); "
        "grabs = source.grabs(); next(grabs); print(source.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=CHILD.parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
        until(lambda: gone(pid), "it outlived its parent")


def test_a_process_outlives_the_thread_that_started_it(openers: Callable[..., ProcessOpener]) -> None:
    opener, begun = openers(frames=2, rate=5), []

    def begin() -> None:
        grabs = opener.open().grabs()
        begun.extend((grabs, next(grabs)))

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    assert next(begun[0]).number == 1
    with pytest.raises(SourceError, match="the signal has ended"):
        next(begun[0])


def test_ctrl_c_in_the_terminal_does_not_reach_it(openers: Callable[..., ProcessOpener]) -> None:
    source = openers(then="wait", frames=1).open()
    assert os.getsid(source.pid) == source.pid
    for _ in source.grabs():
        source.close()


# A real input


def test_a_fifo_whose_writer_stops_within_a_frame_is_reported_and_read_from_the_next_writer(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    header, frame = b"YUV4MPEG2 W640 H480 F25:1 Ip A1:1 C420jpeg\n", b"FRAME\n" + bytes([90]) * (640 * 480 * 3 // 2)
    opener = ProcessOpener(f"pipe:{fifo}", GrabOptions(open_timeout_s=5.0, read_timeout_s=0.5))
    for end in (len(frame) // 2, len(frame)):
        seen: list[Any] = []

        def read(seen: list[Any] = seen) -> None:
            try:
                for grab in opener.open().grabs():
                    seen.append(set(np.unique(grab.screen.planes[0])))
            except SourceError as error:
                seen.append(str(error))

        thread = threading.Thread(target=read)
        thread.start()
        writer = _open_to_write(fifo)
        _write(writer, header + 4 * frame + frame[:end])
        thread.join(20)  # the writer stands still, with the FIFO open
        os.close(writer)
        assert not thread.is_alive()
        assert "pipe: no more data arrive" in seen[-1]
        assert 3 <= len(seen) - 1 <= 4 + (end == len(frame))  # never the half one
        assert all(levels == {90} for levels in seen[:-1])
    opener.close()


def _open_to_write(fifo: Path) -> int:
    found: list[int] = []

    def try_it() -> list[int]:
        with contextlib.suppress(OSError):  # nobody reads yet
            found.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return found

    until(try_it, "nobody reads")
    os.set_blocking(found[0], True)
    return found[0]


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def test_a_port_in_use_is_reported_by_the_process() -> None:
    opener = ProcessOpener("udp://127.0.0.1:1x", OPTIONS)
    with pytest.raises(UsageError, match="write udp://"):
        next(opener.open().grabs())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        busy = ProcessOpener(f"udp://127.0.0.1:{other.getsockname()[1]}", OPTIONS)
        with pytest.raises(SourceError, match="another program reads from this port"):
            next(busy.open().grabs())
        busy.close()
    opener.close()
