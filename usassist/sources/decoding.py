"""One pass through a video file: FFmpeg's errors become usassist's, and no frame is lost silently."""

from __future__ import annotations

import logging
import stat
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path

from usassist.common.closeable import Closeable
from usassist.common.pyav import av
from usassist.errors import SourceError, SourceFormatError
from usassist.sources.aspect import describe_aspect, make_square
from usassist.sources.checksums import SliceCheck
from usassist.sources.cropping import Roi
from usassist.sources.damage import FrameDecoder, set_threads
from usassist.sources.endings import find_truncation
from usassist.sources.interlacing import Deinterlacer
from usassist.sources.matroska import ClusterCheck
from usassist.sources.pixels import UInt8Array, to_image
from usassist.sources.screen import Screen

__all__ = ["VideoPass", "check_file"]

_log = logging.getLogger(__name__)

_INDEXED = {"mov", "mp4"}  # containers with an index apart from the frames
_WITH_CHECKSUMS = {"matroska", "webm"}  # may hold a checksum for every few seconds
# Codecs whose decoders detect damage, or whose own checksums are verified.
_DETECTS_DAMAGE = {"ffv1", "h264", "mpeg1video", "mpeg2video", "mpeg4", "rawvideo"}
# Elementary streams: the demuxer invents a rate; the codec may state one.
_ELEMENTARY = {"avs", "cavsvideo", "h261", "h263", "h264", "hevc", "m4v", "mjpeg", "mpegvideo", "obu", "vc1", "vvc"}


def check_file(path: Path) -> None:
    """Check that a file is there, can be read and is not empty.

    Raises
    ------
    SourceError
        If it is missing, no file, or not readable.
    SourceFormatError
        If it is empty.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"{path.name} is a folder, not a video file; give a file, or images:FOLDER for images")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path.name} is not a regular file; give a video file")
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


class VideoPass(Closeable):
    """A video file opened for one pass from its first frame to its last. Use it as a context manager.

    Parameters
    ----------
    path : the file
    deinterlace : deinterlace every frame

    Attributes
    ----------
    codec_name : for example ``h264``
    rate_hz : mean frame rate that the file states, or None
    claimed_frames : number of frames by the file's header, or None; reliable only when it comes from an index
    indexed : True when that number comes from an index
    notes : remarks on its pixels, for the log and the description
    decode_errors : packets that could not be decoded so far

    Raises
    ------
    SourceFormatError
        If the file holds no video that can be decoded.
    """

    def __init__(self, path: Path, *, deinterlace: bool = False) -> None:
        self._name, self._path = path.name, path
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self.decode_errors = 0
        self._read_error = ""  # why reading stopped before the end
        self._cause: Exception | None = None
        try:
            # Only this file: a disguised playlist must not make FFmpeg open others.
            self._container = av.open(f"file:{path.resolve()}", options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, ValueError) as error:
            raise self._no_video(_describe_error(error)) from error
        try:
            self._stream = self._pick_stream()
            set_threads(self._stream, low_latency=False)
            self.codec_name = self._stream.codec_context.name
        except BaseException:
            self.close()
            raise
        self._formats = set(self._container.format.name.split(","))
        self._aspect = self._stream.sample_aspect_ratio
        note = describe_aspect(self._stream.width, self._stream.height, self._aspect)
        self.notes: tuple[str, ...] = (note,) if note else ()
        rate = self._stated_rate()
        self.rate_hz = float(rate) if rate else None
        self.claimed_frames = self._stream.frames or None
        self.indexed = bool(self._formats & _INDEXED)

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """Yield every frame that is not damaged; otherwise as :meth:`all_frames`."""
        return (frame for frame, damage_reason in self.all_frames() if not damage_reason)

    def all_frames(self) -> Generator[tuple[av.VideoFrame, str], None, None]:
        """Yield every frame that can be decoded, in presentation order, each with why it is damaged ("" = intact).

        Pixels are square. A damaged frame, and what is predicted from it, is yielded as the decoder concealed it.

        Raises
        ------
        SourceError
            After the last frame, when the file breaks off before its end.
        SourceFormatError
            If its pixel format cannot be scaled or deinterlaced.
        """
        count = 0
        for decoded in self._decode():
            with self._explaining(decoded[0]):
                ready = [decoded] if self._deinterlacer is None else self._deinterlacer.feed(*decoded)
                ready = [(make_square(frame, self._aspect), reason) for frame, reason in ready]
            count += len(ready)
            yield from ready
        for frame, reason in () if self._deinterlacer is None else self._deinterlacer.feed(None):
            count += 1
            yield make_square(frame, self._aspect), reason
        if problem := self._read_error or self._truncation():
            raise self._broke_off(count, problem) from self._cause

    def _decode(self) -> Generator[tuple[av.VideoFrame, str], None, None]:
        """Decode up to the end, or to where the file breaks off; then `_read_error` is set."""
        decoder = FrameDecoder(self._stream, hold=True, stamps_in_order="avi" in self._formats)
        packets = self._container.demux(self._stream)
        slices = SliceCheck() if self.codec_name == "ffv1" else None
        with self._cluster_check() as clusters:
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.error.FFmpegError as error:
                    self._read_error, self._cause = f"it cannot be read further ({_describe_error(error)})", error
                    return
                if packet.size and slices is not None and not slices.passes(bytes(packet)):
                    decoder.lost()
                    self._count_error("wrong checksum")
                    continue
                try:
                    frames = decoder.decode(packet, damaged=clusters is not None and not clusters.passes(packet.pos))
                except av.error.FFmpegError as error:
                    self._count_error(_describe_error(error))
                    continue
                yield from frames

    def _cluster_check(self) -> AbstractContextManager[ClusterCheck | None]:
        needed = self._formats & _WITH_CHECKSUMS and self.codec_name not in _DETECTS_DAMAGE
        return ClusterCheck(self._path) if needed else nullcontext()

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
                f"({_describe_error(error)}); export it in another format"
            ) from error

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _pick_stream(self) -> av.VideoStream:
        for stream in self._container.streams.video:
            if "attached_pic" not in str(stream.disposition):
                if stream.codec_context is None:
                    raise self._no_video("no decoder for its codec")
                return stream
        raise self._no_video("it has no video stream")

    def _count_error(self, problem: str) -> None:
        self.decode_errors += 1
        if self.decode_errors == 1:
            _log.warning("%s: a frame cannot be decoded and is left out: %s", self._name, problem)

    def _no_video(self, why: str) -> SourceFormatError:
        return SourceFormatError(
            f"{self._name} holds no video that can be played ({why}); give an mp4, mov, mkv, avi or mpeg "
            "file, or copy this one again if it was cut off"
        )

    def _broke_off(self, count: int, problem: str) -> SourceError:
        of = f" of {self.claimed_frames}" if self.claimed_frames else ""
        return SourceError(f"{self._name} broke off after {count}{of} frames: {problem}; copy or export the clip again")

    def _truncation(self) -> str | None:
        """Evidence that the end of the file is missing; None without any."""
        try:
            if not self.indexed:
                return find_truncation(self._path, self._formats)
            size = self._path.stat().st_size
        except OSError as error:
            return f"it cannot be read any more ({error.strerror})"
        needed = max((entry.pos + entry.size for entry in self._stream.index_entries), default=0)
        return f"its index names {needed} bytes and it has {size}" if needed > size else None

    def _stated_rate(self) -> Fraction | None:
        """The most reliable rate that the file states, Hz; None where it states none."""
        stream = self._stream
        if self._formats & _ELEMENTARY:
            return stream.codec_context.framerate or None
        # An AVI header states the rate of its slots, some of which may be empty.
        first = stream.guessed_rate if "avi" in self._formats else stream.average_rate
        return first or stream.average_rate or stream.guessed_rate

    @property
    def estimated_frames(self) -> int | None:
        """Approximate number of frames by the header; None where it states neither count nor duration."""
        if self.claimed_frames:
            return self.claimed_frames
        duration = self._container.duration
        return round(duration / 1e6 * self.rate_hz) if duration and self.rate_hz else None


def _describe_error(error: Exception) -> str:
    """FFmpeg's error message without the path."""
    return str(getattr(error, "strerror", None) or error).split(":")[0]
