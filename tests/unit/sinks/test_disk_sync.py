"""What was recorded reaches the disk soon, and what keeps it from there ends the recording in order."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.samples import ENGINE, SESSION, make_frame, make_result
from usassist.bus import MarkBody, MarkKind, Publisher, SessionState
from usassist.common.clock import ClockPair, MonotonicClock
from usassist.errors import SessionError
from usassist.records import ResultState
from usassist.session import open_session
from usassist.session.verify import verify_session
from usassist.sinks import disk_sync
from usassist.sinks.disk_sync import DiskSync
from usassist.sinks.files import without_path
from usassist.sinks.record import Recorder

ROOM = 2**40


class Recording:
    """A recorder that runs in a thread, and its stream."""

    def __init__(self, address: str, folder: Path, **options: object) -> None:
        self.folder = folder
        self.publisher = Publisher(address, "us0", MonotonicClock(), lossless=True)
        self.recorder = Recorder(address, folder, lambda: False, **options)  # type: ignore[arg-type]
        self.error: SessionError | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.publisher.wait_for_archives(1, 10, lambda: True)
        self.publisher.event("engine", ENGINE)
        self.publisher.event("session", msgspec.structs.replace(SESSION, realtime=False))

    def _run(self) -> None:
        try:
            self.recorder.run()
        except SessionError as error:
            self.error = error

    def give(self, number: int) -> None:
        self.publisher.frame(make_frame(number))
        self.publisher.result(make_result(number))

    def end(self, last: int) -> None:
        body = msgspec.structs.replace(SESSION, state=SessionState.ENDED, last_frame_id=last, realtime=False)
        self.publisher.event("session", body)
        self.join()

    def join(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.publisher.close()

    def manifest(self) -> dict:
        return tomllib.loads((self.folder / "session.toml").read_text())


@pytest.fixture
def record(bus_address: str, tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    made: list[Recording] = []

    def begin(**options: object) -> Recording:
        made.append(Recording(bus_address, tmp_path / "s", **options))
        return made[-1]

    yield begin
    for recording in made:
        recording.publisher.close()


def _until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_what_the_disk_was_told_of_is_readable_alone(
    record: Callable[..., Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power is lost: of every file there is left what the last `fdatasync` before has put on the disk."""
    on_disk: dict[str, int] = {}
    sync = os.fdatasync

    def told(number: int) -> None:
        size, name = os.fstat(number).st_size, os.path.basename(os.readlink(f"/proc/self/fd/{number}"))
        sync(number)
        on_disk[name] = size

    monkeypatch.setattr(os, "fdatasync", told)
    recording = record()
    for number in range(40):
        recording.give(number)
    _until(lambda: on_disk.get("results.jsonl", 0) > 0 and on_disk.get("frames.nut", 0) > 0)
    _until(lambda: recording.recorder.progress.results == 40)
    time.sleep(0.5)
    left = dict(on_disk)
    after = tmp_path / "after"
    after.mkdir()
    shutil.copy(tmp_path / "s" / "session.toml", after)
    for name, size in left.items():
        (after / name).write_bytes((tmp_path / "s" / name).read_bytes()[:size])
    session = open_session(after)
    assert len(session.results) == 40
    # Matroska holds back what lies in the cluster at hand: the last picture, or two that are as small as these.
    assert sum(image is not None for _, image in session.images()) >= 38
    assert session.manifest.engines
    recording.end(39)
    assert recording.error is None


def test_how_long_anything_waited_for_the_disk_is_told(record: Callable[..., Recording]) -> None:
    recording = record()
    recording.give(0)
    _until(lambda: recording.recorder.progress.results == 1)
    time.sleep(0.5)
    recording.end(0)
    assert recording.manifest()["longest_unsynced_ms"] >= 150.0


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EIO, "the disk .* fails"), (errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")],
)
def test_a_disk_that_refuses_ends_the_recording_in_order_and_says_why(
    record: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    recording = record()
    recording.give(0)
    _until(lambda: recording.recorder.progress.results == 1)

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", refuse)
    recording.give(1)
    recording.join()
    with pytest.raises(SessionError, match=words):
        raise recording.error or AssertionError("it went on")
    said = recording.manifest()["recording"]
    assert said != "closed"
    assert str(recording.folder) not in said
    assert verify_session(recording.folder).problems == []


def test_a_disk_that_is_almost_full_ends_the_recording_before_it_is_full(record: Callable[..., Recording]) -> None:
    room = [ROOM]
    recording = record(reserve_bytes=2**30, free_bytes=lambda folder: room[0])
    for number in range(5):
        recording.give(number)
    _until(lambda: recording.recorder.progress.results == 5)
    room[0] = 2**29
    recording.join()
    assert "the disk is almost full: 512 MiB are free and 1024 MiB stay free" in str(recording.error)
    manifest = recording.manifest()
    assert "almost full" in manifest["recording"]
    assert manifest["complete"] is False
    assert manifest["frames"] == 5
    assert verify_session(recording.folder).problems == []


def test_a_recording_that_has_no_room_does_not_begin(bus_address: str, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"there is no room to record in .*: 1 MiB are free and 256 MiB stay free"):
        Recorder(bus_address, tmp_path / "s", lambda: True, free_bytes=lambda folder: 2**20)
    assert not (tmp_path / "s").exists()


def test_a_file_that_somebody_removes_ends_the_recording(record: Callable[..., Recording]) -> None:
    recording = record()
    recording.give(0)
    _until(lambda: recording.recorder.progress.results == 1)
    (recording.folder / "frames.nut").unlink()
    recording.give(1)
    recording.join()
    assert "was removed" in str(recording.error)


def test_size_and_room_are_told_while_it_goes_on(record: Callable[..., Recording], bus_address: str) -> None:
    recording = record()
    recording.give(0)
    found: list[object] = []

    def heard() -> bool:
        found.extend(body for topic, body in recording.publisher.received() if topic == "health")
        return any(body.recorded_bytes for body in found)  # type: ignore[attr-defined]

    _until(heard)
    health = found[-1]
    assert (health.process, health.recording) == ("record", "running")  # type: ignore[attr-defined]
    assert health.free_bytes > 0  # type: ignore[attr-defined]
    recording.end(0)


def test_marks_are_written_down(record: Callable[..., Recording]) -> None:
    recording = record()
    recording.give(0)
    mark = MarkBody(session_id=SESSION.session_id, frame_id=0, kind=MarkKind.MISSED, t_mark_ns=5)
    recording.publisher.event("mark", mark)
    recording.end(0)
    assert recording.manifest()["marks"] == 1
    (line,) = open_session(recording.folder).marks
    assert (line.frame_id, line.kind, line.t_mark_ns) == (0, "missed", 5)


def test_a_wall_clock_that_is_set_is_noted_when_it_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [
        ClockPair(t_monotonic_ns=0, utc="2026-01-01T00:00:00+00:00"),
        ClockPair(t_monotonic_ns=10**9, utc="2026-01-01T00:00:01.05+00:00"),
        ClockPair(t_monotonic_ns=2 * 10**9, utc="2026-01-01T01:00:02+00:00"),
        ClockPair(t_monotonic_ns=3 * 10**9, utc="2026-01-01T01:00:03+00:00"),
    ]
    taken = iter(readings)
    monkeypatch.setattr(disk_sync, "clock_pair", lambda: next(taken))
    disk = DiskSync(tmp_path, 0, free_bytes=lambda folder: ROOM)
    for _ in range(3):
        disk._look()
    assert disk.jumps == [readings[2]]
    disk.close()


def test_a_large_file_is_closed_and_the_next_one_goes_on(
    record: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record()
    recording.recorder._pixels._most_bytes = 50_000
    for number in range(100):
        recording.give(number)
    recording.end(99)
    names = {line.file for line in open_session(recording.folder).frames}
    assert len(names) > 1
    assert verify_session(recording.folder).problems == []


def test_the_event_of_a_stream_is_not_needed_to_close(bus_address: str, tmp_path: Path) -> None:
    """A recorder that never heard of a stream closes an empty session."""
    recorder = Recorder(bus_address, tmp_path / "s", lambda: True)
    recorder.run()
    manifest = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert (manifest["state"], manifest["recording"], manifest["frames"]) == ("waiting", "closed", 0)


@pytest.mark.parametrize(
    ("text", "folder", "left"),
    [
        ("the recording in out/s ends here", "out/s", "the recording in this folder ends here"),
        ("/out/s/frames.nut cannot be written", "/out/s", "this folder/frames.nut cannot be written"),
        ("s cannot be written: is closed", "s", "this folder cannot be written: is closed"),
        ("/out/s2 and /a/out/s stay", "/out/s", "/out/s2 and /a/out/s stay"),
    ],
)
def test_what_is_passed_on_does_not_say_where_the_folder_was(text: str, folder: str, left: str) -> None:
    assert without_path(text, Path(folder), "this folder") == left


@pytest.mark.skipif(sys.platform != "linux", reason="open files of a process are counted in /proc")
def test_files_that_are_finished_are_let_go(record: Callable[..., Recording]) -> None:
    recording = record()
    sizes = [(48, 64), (64, 48)] * 6
    for number, hw in enumerate(sizes):
        recording.publisher.frame(make_frame(number, hw))
        recording.publisher.result(make_result(number, hw=hw, state=ResultState.NO_FINDING))

    def open_videos() -> list[str]:
        links = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
        return [link for link in links if link.endswith(".nut") and str(recording.folder) in link]

    _until(lambda: (recording.folder / f"frames_{len(sizes)}.nut").exists() and len(open_videos()) <= 2)
    recording.end(len(sizes) - 1)
    assert recording.error is None
    assert open_videos() == []
    assert recording.manifest()["frames"] == len(sizes)
