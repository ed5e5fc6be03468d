"""The recorder: everything that was published, into a session folder.

=================== ==========================================================================================
``session.toml``    what was recorded, with what; see ``sinks/manifest.py``
``frames.nut``      the cropped frames, lossless; ``frames.mkv`` with FFV1. ``frames_2.nut`` and so on follow when the
                    size changes, or grey turns to colour, or the file has grown to a gibibyte
``frames.jsonl``    one line per frame: number, stamps, where it lies
``results.jsonl``   one line per frame: state, cause, nodules with outline, sizes and descriptors
``marks.jsonl``     one line per mark that a person made
``bus.log``         the messages byte for byte; pixels are replaced by their place in the video
=================== ==========================================================================================

Every line and every frame is written without buffering, and ``DiskSync`` syncs it soon after, so that what was recorded
is readable however the recorder ends. Frames and their lines are held for about a second while burnt-in text is
detected (``sinks/text_cover.py``): it is covered before anything is written. Folder and files are private to the user.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from usassist.bus import TOPICS, Inbox, Message, MessageLogWriter, Subscriber, frame_from, result_from
from usassist.common.append_file import AppendFile
from usassist.common.clock import clock_pair
from usassist.common.private_files import write_atomic
from usassist.errors import SessionError, UsAssistError
from usassist.records import Frame
from usassist.sinks.covering import Box, FindText
from usassist.sinks.disk_sync import DiskSync, free_bytes_of, mebibytes
from usassist.sinks.end_of_stream import StreamEnd
from usassist.sinks.files import FileSums, explain, prepare_folder, reserve_file, without_path
from usassist.sinks.intake import Intake
from usassist.sinks.lines import frame_line, mark_line, result_line
from usassist.sinks.pixels import USUAL_RATE_HZ, PixelFiles
from usassist.sinks.recorded_span import RecordedSpan
from usassist.sinks.recording_progress import RecordingProgress
from usassist.sinks.text_cover import TextCover
from usassist.sinks.video import LOSSLESS, Coding

__all__ = ["Recorder", "result_line"]

_TOPICS = tuple(topic.name for topic in TOPICS.values() if topic.recorded)
_LINE_FILES = ("frames.jsonl", "results.jsonl", "marks.jsonl")
_SPARE = "session.spare"  # room for the final manifest on a disk that is full
_SPARE_BYTES = 2**20
_RESERVE_BYTES = 256 * 2**20
_PAUSE_S = 1.0  # without a frame, after which the held ones are written
_to_json = msgspec.json.Encoder().encode


class Recorder:
    """Records one stream into one folder.

    Parameters
    ----------
    address : of the stream's bus
    folder : an empty or new folder
    abandoned : True when the process that started the stream is gone; polled while nothing comes
    facts : what the bus does not carry, see ``sinks/manifest.py``
    coding : of the frames
    find_text : detects burnt-in text, which is covered; None = only the boxes that come with the frames are covered
    reserve_bytes : free space to keep on the disk
    free_bytes : gives the free space; for tests
    on_request : the recording begins in the middle of the stream, at the first frame that is certain to be complete
    finish : True when the recording is to be closed while the stream goes on; polled
    on_received : called when everything that is recorded has arrived, before the files are closed

    Attributes
    ----------
    progress : counts and state of the recording

    Raises
    ------
    SessionError
        If the folder holds a session already, cannot be written, or has no room.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        abandoned: Callable[[], bool],
        *,
        facts: Mapping[str, Any] | None = None,
        coding: Coding = LOSSLESS["fast"],
        find_text: FindText | None = None,
        reserve_bytes: int = _RESERVE_BYTES,
        free_bytes: Callable[[Path], int] = free_bytes_of,
        on_request: bool = False,
        finish: Callable[[], bool] = lambda: False,
        on_received: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        existed = folder.exists()
        prepare_folder(folder)
        self._lines: dict[str, AppendFile] = {}
        self._log: MessageLogWriter | None = None
        self._pixels = PixelFiles(folder, coding)
        self._cover = TextCover(find_text)
        self._frame_came_s = time.monotonic()
        self._sums = FileSums(folder)
        self._end = StreamEnd(abandoned)
        self._span = RecordedSpan(on_request=on_request)
        self._finish, self._on_received = finish, on_received
        self._jumps = 0
        try:
            self._disk = DiskSync(folder, reserve_bytes, self._post_health, free_bytes)
        except OSError as error:
            raise SessionError(explain(folder, error)) from error
        if self._disk.free_bytes < reserve_bytes:
            self._disk.close()
            if not existed:
                folder.rmdir()
            raise SessionError(
                f"there is no room to record in {folder}: {mebibytes(self._disk.free_bytes)} are free and "
                f"{mebibytes(reserve_bytes)} stay free; free some space or record elsewhere with --out"
            )
        self.subscriber = Subscriber(address, _TOPICS, "archive")
        self._intake = Intake(self.subscriber)
        self._inbox = Inbox(address)
        self.progress = RecordingProgress(facts or {}, self.subscriber.gaps)
        self.progress.begun_on_request = on_request
        made = []
        try:
            for name in _LINE_FILES:
                self._lines[name] = AppendFile(folder / name)
                made.append(name)
            self._log = MessageLogWriter(folder / "bus.log")
            made.append("bus.log")
            reserve_file(folder / _SPARE, _SPARE_BYTES)
            made.append(_SPARE)
            write_atomic(folder / "session.toml", self.progress.manifest(self._disk))
        except (OSError, SessionError) as error:
            self._release()
            for name in made:
                (folder / name).unlink(missing_ok=True)
            raise SessionError(explain(folder, error)) from error
        for name in (*_LINE_FILES, "bus.log"):
            self._disk.keep(name)
        self._disk.start()
        self._intake.start()

    def run(self) -> None:
        """Record until the stream has ended, or is silent after its parent has gone.

        Raises
        ------
        SessionError
            If recording had to stop before, for example because the disk is full; what was written is closed, readable
            and the manifest has the reason.
        """
        stopped: str | None = None
        try:
            for item in self._intake.each(self._is_over):
                if item is not None:
                    self._take(*item)
                if time.monotonic() - self._frame_came_s > _PAUSE_S:
                    self._write(self._cover.flush())
                if self._finish():
                    self._span.finish()
                    self.progress.ended_on_request = True
                if self._disk.problem is not None or self._span.is_over:
                    break
            self._on_received()
            self._write(self._cover.flush())
            stopped = self._disk.problem
        except (OSError, UsAssistError) as error:
            stopped = explain(self._folder, error)
        finally:
            try:
                stopped = self._close_in_order(stopped)
            finally:
                self._release()
        if stopped is not None:
            raise SessionError(stopped)

    @property
    def recorded_bytes(self) -> int:
        """Size of all files together."""
        return self._disk.recorded_bytes

    def _is_over(self) -> bool:
        return self._disk.problem is not None or self._end.reached()

    def _take(self, data: bytes | memoryview, message: Message) -> None:
        name, body, progress = message.topic.name, message.body, self.progress
        log = self._log
        assert log is not None  # open until run() ends
        self._end.take(message)
        self._span.is_announced = self._end.session is not None and bool(progress.engine)
        if name in ("frame", "result") and not self._span.keeps(name, body.frame_id):
            return
        news = progress.session is None and self._end.session is not None
        progress.session = self._end.session
        if name == "frame":
            log.append(bytes(data[: message.header_bytes]), without_pixels=True)
            self._frame_came_s = time.monotonic()
            session = self._end.session
            media_hz = None if session is None or session.realtime else session.rate_hz or USUAL_RATE_HZ
            self._write(self._cover.add(frame_from(message), media_hz))
        else:
            log.append(data)
        if name == "result":
            result = result_from(message)
            line = result_line(result, progress.engine.get(result.engine_id), message.t_publish_ns)
            self._append("results.jsonl", line)
            progress.take_result(result.frame_id)
        elif name == "mark":
            self._append("marks.jsonl", mark_line(body, message.t_publish_ns))
            progress.marks += 1
        elif name == "engine":
            news = progress.take_engine(body) or news
        if news or len(self._disk.jumps) > self._jumps:
            self._jumps = len(self._disk.jumps)
            self._disk.rewrite_manifest(progress.manifest(self._disk))

    def _append(self, name: str, line: dict[str, Any]) -> None:
        self._lines[name].append(_to_json(line) + b"\n")

    def _write(self, ready: Iterator[tuple[Frame, tuple[Box, ...]]]) -> None:
        """Write the frames that need not be held any longer."""
        frame = None
        try:
            for frame, boxes in ready:
                self._write_frame(frame, boxes)
                frame = None
        except (OSError, SessionError):
            if frame is not None:
                self.progress.lose_frame(frame.frame_id)
            raise

    def _write_frame(self, frame: Frame, boxes: tuple[Box, ...]) -> None:
        before = self._pixels.name
        line = self._pixels.take_frame(frame, boxes, self._end.session.rate_hz if self._end.session else None)
        if self._pixels.name != before:
            self._disk.keep(self._pixels.name)
            if self._pixels.count > 1:
                self._sums.begin(before)  # it is complete
                self._disk.finish(before)
        self._append("frames.jsonl", frame_line(line))
        self.progress.take_frame(frame.frame_id, frame.calibration_id)

    def _close_in_order(self, stopped: str | None) -> str | None:
        """Close the files and write the final manifest; returns why the recording stopped early, or None."""
        for frame in self._cover.held:
            self.progress.lose_frame(frame.frame_id)
        try:
            self._pixels.close()
        except SessionError as error:
            stopped = stopped or str(error)
        self._disk.close()
        stopped = stopped or self._disk.problem
        self.progress.recording = without_path(stopped, self._folder, "this folder") if stopped else "closed"
        self._post_health()
        end = clock_pair()
        manifest = self._folder / "session.toml"
        try:
            (self._folder / _SPARE).unlink(missing_ok=True)
            # Twice: if the process is killed while the sums are computed, everything else is in the manifest.
            write_atomic(manifest, self.progress.manifest(self._disk, end=end))
            files = self._sums.all(self._folder / name for name in (*_LINE_FILES, "bus.log", *self._pixels.names))
            write_atomic(manifest, self.progress.manifest(self._disk, end=end, files=files))
        except OSError as error:
            stopped = stopped or explain(self._folder, error)
        return stopped

    def _post_health(self) -> None:
        self._inbox.send("health", self.progress.health(self._disk))

    def _release(self) -> None:
        with contextlib.suppress(SessionError):  # the first error is reported
            self._pixels.close()
        self._disk.close()
        for file in self._lines.values():
            file.close()
        if self._log is not None:
            self._log.close()
        self._cover.close()
        self._intake.close()
        self.subscriber.close()
        self._inbox.close()
