"""One pass through a video file: what FFmpeg raises becomes our own errors, and nothing is lost silently."""

from __future__ import annotations

import logging
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2  # noqa: F401  # before av: in the other order cv2.imshow hangs in this process

# isort: split
import av
import av.error
import av.video.stream

from usassist.closing import Closing
from usassist.errors import SourceError, SourceFormatError
from usassist.sources.checksums import SliceCheck
from usassist.sources.cropping import Roi
from usassist.sources.pixels import UInt8Array, to_image
from usassist.sources.screen import Screen

__all__ = ["VideoPass", "check_file"]

_log = logging.getLogger(__name__)

_INDEXED = {"mov", "mp4"}  # the index stands apart from the pictures
_COUNTED = {"avi"}  # the header says how many pictures follow
_TIMED = {"matroska", "webm"}  # the header says how long the stream is


def check_file(path: Path) -> None:
    """Check that a file is there, can be read and is not empty.

    Raises
    ------
    SourceError
        If it is missing, is no file, or may not be read.
    SourceFormatError
        If it is empty.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"{path.name} is a folder, not a video file; give a file, or images:FOLDER for pictures")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path.name} is not an ordinary file; give a video file")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise SourceError(f"there is no file {path}; check the path") from None
    except PermissionError:
        raise SourceError(f"{path.name} may not be read by this user; change its permissions") from None
    except SourceError:
        raise
    except (OSError, ValueError) as error:
        raise SourceError(f"{path.name} cannot be read: {error}; check the path") from error
    if status.st_size == 0:
        raise SourceFormatError(f"{path.name} is empty; copy it again")


class VideoPass(Closing):
    """A video file opened for one pass from its first frame to its last. Use it as a context manager.

    Attributes
    ----------
    codec_name : for example ``h264``
    rate_hz : mean frame rate that the file states, or None
    claimed_frames : how many frames the file says it holds, or None
    packets : packets of pictures read so far
    decode_errors : packets that could not be decoded, and frames that the decoder marked as damaged, so far

    Raises
    ------
    SourceFormatError
        If the file holds no video that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._size = path.stat().st_size
        self.packets = 0
        self.decode_errors = 0
        try:
            # Only this one file: a playlist in disguise must not make FFmpeg open others.
            self._container = av.open(f"file:{path.resolve()}", options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, ValueError) as error:
            raise self._no_video(_plain(error)) from error
        try:
            self._stream = self._pick_stream()
            self._stream.thread_type = "AUTO"
            self.codec_name = self._stream.codec_context.name
        except BaseException:
            self.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate_hz = float(rate) if rate else None
        self.claimed_frames = self._stream.frames or None

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """Give every frame that can be decoded, in the order of presentation.

        Raises
        ------
        SourceError
            After the last frame, when the file breaks off before its end.
        """
        given = 0
        last_end: Fraction | None = None
        packets = self._container.demux(self._stream)
        check = SliceCheck() if self.codec_name == "ffv1" else None
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.FFmpegError as error:
                raise self._broken(given, f"it cannot be read on ({_plain(error)})") from error
            if packet.size:
                self.packets += 1
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    last_end = end if last_end is None else max(last_end, end)
                if check is not None and not check.passes(bytes(packet)):
                    self._count_error("wrong check sum")
                    continue
            try:
                frames = packet.decode()
            except av.error.EOFError:
                continue
            except av.error.FFmpegError as error:
                self._count_error(_plain(error))
                continue
            for frame in frames:
                if not isinstance(frame, av.VideoFrame):
                    continue
                if frame.is_corrupt:
                    self._count_error("a damaged frame")
                    continue
                given += 1
                yield frame
        if problem := self._cut_off(last_end):
            raise self._broken(given, problem)

    def image(self, frame: av.VideoFrame) -> UInt8Array:
        """The pixels of a frame: uint8 (H, W) for grey formats, else uint8 (H, W, 3) RGB.

        Raises
        ------
        SourceFormatError
            If its pixel format cannot be converted.
        """
        with self._explaining(frame):
            return to_image(frame)

    def cut(self, frame: av.VideoFrame, roi_xyxy_px: Roi) -> UInt8Array:
        """The part of a frame inside a rectangle, as :meth:`usassist.sources.screen.Screen.cut` gives it.

        Raises
        ------
        SourceFormatError
            If its pixel format cannot be converted.
        """
        with self._explaining(frame):
            return Screen.of(frame).cut(roi_xyxy_px)

    @contextmanager
    def _explaining(self, frame: av.VideoFrame) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, ValueError, MemoryError) as error:
            raise SourceFormatError(
                f"{self._name} has pixels of the format {frame.format.name}, which cannot be converted "
                f"({_plain(error)}); export it in another format"
            ) from error

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _pick_stream(self) -> av.video.stream.VideoStream:
        for stream in self._container.streams.video:
            if "attached_pic" not in str(stream.disposition):
                if stream.codec_context is None:
                    raise self._no_video("no decoder for its codec")
                return stream
        raise self._no_video("it has no video stream")

    def _count_error(self, what: str) -> None:
        self.decode_errors += 1
        if self.decode_errors == 1:
            _log.warning("%s: a picture cannot be decoded and is left out: %s", self._name, what)

    def _no_video(self, why: str) -> SourceFormatError:
        return SourceFormatError(
            f"{self._name} holds no video that can be played ({why}); give an mp4, mov, mkv, avi or mpeg "
            "file, or copy this one again if it was cut off"
        )

    def _broken(self, given: int, why: str) -> SourceError:
        of = f" of {self.claimed_frames}" if self.claimed_frames else ""
        return SourceError(f"{self._name} broke off after {given}{of} frames: {why}; copy or export the clip again")

    def _cut_off(self, last_end: Fraction | None) -> str | None:
        """What shows that the end of the file is missing; None when nothing does."""
        formats = set(self._container.format.name.split(","))
        if formats & _INDEXED:
            needed = max((entry.pos + entry.size for entry in self._stream.index_entries), default=0)
            if needed > self._size:
                return f"its index names {needed} bytes and it has {self._size}"
        elif formats & _COUNTED:
            if self.claimed_frames and self.packets < self.claimed_frames:
                return f"it has {self.packets} pictures and its header says {self.claimed_frames}"
        elif formats & _TIMED and last_end is not None and (claimed := self._claimed_end()) is not None:
            period = 1 / Fraction(self.rate_hz or 25)
            if last_end + 2 * period + Fraction(1, 20) < claimed:
                return f"it ends at {float(last_end):.2f} s and its header says {float(claimed):.2f} s"
        return None

    @property
    def estimated_frames(self) -> int | None:
        """About how many frames the stream has, by its header; None where that says nothing."""
        if self.claimed_frames:
            return self.claimed_frames
        duration = self._container.duration
        return round(duration / 1e6 * self.rate_hz) if duration and self.rate_hz else None

    def _claimed_end(self) -> Fraction | None:
        """End of the stream by the header of a Matroska file, s."""
        text = self._stream.metadata.get("DURATION")
        if text:
            try:
                hours, minutes, seconds = text.split(":")
                return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
            except ValueError:
                pass
        alone = len(self._container.streams) == 1
        return Fraction(self._container.duration, 1_000_000) if alone and self._container.duration else None


def _plain(error: Exception) -> str:
    """The error of FFmpeg in a few words, without the path."""
    return str(getattr(error, "strerror", None) or error).split(":")[0]
