"""Videos of clips with the marked and the found outlines, to look at a sweep frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.private_files import replacing
from usassist.errors import SessionError, UsageError
from usassist.evaluation.contact_sheet import FOUND_BGR, TRUTH_BGR, draw_frame, draw_text, make_tile
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.sweep_figures import SweepFrame
from usassist.records import ResultState
from usassist.sinks.video import Coding, VideoWriter
from usassist.sinks.view import STATE_COLOR_RGB

__all__ = ["UNKNOWN_RATE_HZ", "SweepVideo", "draw_sweep_frame", "open_video", "plan_videos"]

UInt8Array = npt.NDArray[np.uint8]

UNKNOWN_RATE_HZ = 10.0
"""At which clips are shown whose rate is not known; a folder of images is replayed as fast."""

_IMAGE_HW_PX = (720, 1080)
_BAR_PX, _MARGIN_PX, _LINE_PX, _DASH_PX = 36, 12, 2, 7
_MIN_WIDTH_PX = 820  # for the text in the bars
_GROUND_BGR = (32, 32, 32)
# VP9 as in the clips of the phantom: browsers play it, and the encoder is not under the GPL.
_CODING = Coding(
    codec="libvpx-vp9",
    container="webm",
    grey="yuv420p",
    colour="yuv420p",
    options={"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "24", "b": "0"},
)


def plan_videos(folder: Path, clips: Sequence[str], wanted: Sequence[str], *, overwrite: bool) -> dict[str, Path]:
    """The file of every clip that gets a video, checked before any frame is run; makes the folder.

    Parameters
    ----------
    folder : of the videos
    clips : names of all clips
    wanted : names of those that get one; empty = all
    overwrite : existing files are replaced

    Raises
    ------
    UsageError
        If a clip is not known, or a file exists and must not be replaced.
    SessionError
        If the folder cannot be made.
    """
    unknown = [name for name in wanted if name not in clips]
    if unknown:
        raise UsageError(f"there is no clip {unknown[0]} for a video; the clips are {', '.join(clips)}")
    paths = {name: folder / f"{name}{_CODING.suffix}" for name in wanted or clips}
    there = [path for path in paths.values() if path.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists; name another folder, or replace it with --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(f"{folder} cannot be made: {error.strerror}; choose another place") from error
    return paths


class SweepVideo:
    """The video of one clip.

    Parameters
    ----------
    path : a new file, in WebM
    frame_count : of the clip
    threshold : detections with a lower score are not drawn
    rate_hz : at which it is shown
    associated, domain : see :func:`draw_sweep_frame`
    """

    def __init__(
        self,
        path: Path,
        frame_count: int,
        threshold: float,
        rate_hz: float,
        *,
        associated: bool = False,
        domain: str = "",
    ) -> None:
        self._path = path
        self._frame_count = frame_count
        self._threshold = threshold
        self._rate_hz = rate_hz
        self._associated = associated
        self._domain = domain
        self._writer: VideoWriter | None = None
        self._written = 0

    def write(self, outcome: FrameOutcome, frame: SweepFrame) -> None:
        """Add the next frame."""
        place = f"frame {frame.number}   {self._written + 1} of {self._frame_count}"
        drawn = draw_sweep_frame(
            outcome, frame, self._threshold, place, associated=self._associated, domain=self._domain
        )
        if self._writer is None:
            self._writer = VideoWriter(self._path, drawn.shape[:2], self._rate_hz, _CODING)
        self._writer.write(drawn, self._written)
        self._written += 1

    def close(self) -> None:
        """Write what is pending. May be called twice."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


@contextmanager
def open_video(
    path: Path,
    frame_count: int,
    threshold: float,
    rate_hz: float | None,
    *,
    associated: bool = False,
    domain: str = "",
) -> Iterator[SweepVideo]:
    """The video of one clip; the file is there once the block has ended, and not at all when it raises.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    try:
        with replacing(path) as part:
            rate_hz = rate_hz or UNKNOWN_RATE_HZ
            video = SweepVideo(part, frame_count, threshold, rate_hz, associated=associated, domain=domain)
            try:
                yield video
            finally:
                video.close()
    except OSError as error:  # the writer's own error names a file that is no longer there
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or cause
        raise SessionError(f"{path} cannot be written: {reason}; choose another folder for --videos") from error


def draw_sweep_frame(
    outcome: FrameOutcome,
    frame: SweepFrame,
    threshold: float,
    place: str,
    *,
    associated: bool = False,
    domain: str = "",
) -> UInt8Array:
    """Draw one frame between two bars: what the engine says above, what the outlines mean below.

    Parameters
    ----------
    outcome, frame : the frame
    threshold : detections with a lower score are not drawn
    place : which frame of the clip it is, in words
    associated : findings are associated over the frames, so `threshold` is not all that decides
    domain : name of what the engine was made for, shown where it abstains

    Returns
    -------
    drawn : uint8 (H, W, 3), RGB, with even sides
    """
    image = draw_frame(make_tile(outcome, threshold, (0.0, ""), ""), _IMAGE_HW_PX, line_px=_LINE_PX, dash_px=_DASH_PX)
    height, width = image.shape[:2]
    drawn = np.empty((height + height % 2 + 2 * _BAR_PX, max(_MIN_WIDTH_PX, width + width % 2), 3), np.uint8)
    drawn[:] = _GROUND_BGR
    left = (drawn.shape[1] - width) // 2
    drawn[_BAR_PX : _BAR_PX + height, left : left + width] = image
    state = ResultState.FINDING if frame.score.kept else ResultState.NO_FINDING
    state = ResultState.NO_RESULT if frame.tally.abstained else state
    cv2.rectangle(drawn, (0, 0), (drawn.shape[1] - 1, 3), STATE_COLOR_RGB[state][::-1], -1)
    x = draw_text(drawn, _headline(frame, domain), (_MARGIN_PX, 26), 18)
    draw_text(drawn, _against_truth(frame), (max(x + 24, 330), 26), 17)
    draw_text(drawn, place, (drawn.shape[1] - 210, 26), 16)
    bottom = drawn.shape[0] - 12
    x = _MARGIN_PX
    for word, color, dashes in (("marked", TRUTH_BGR, 3), ("found", FOUND_BGR, 1)):
        step = 36 // (2 * dashes - 1)
        for start in range(x, x + 36, 2 * step):
            cv2.line(drawn, (start, bottom - 6), (start + step, bottom - 6), color, 2, cv2.LINE_AA)
        x = draw_text(drawn, word, (x + 46, bottom), 16) + 24
    cut = f"associated, {threshold:.2f} or more" if associated else f"threshold {threshold:.2f}"
    draw_text(drawn, f"{frame.tally.name}   {cut}", (x, bottom), 16)
    return np.asarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB), np.uint8)


def _headline(frame: SweepFrame, domain: str) -> str:
    if frame.tally.abstained:
        return f"NOT {domain.upper()} - no result" if domain else "OUT OF DOMAIN - no result"
    if not frame.score.kept:
        return "NO FINDING"
    scores = ", ".join(f"{score:.2f}" for score in frame.tally.score[: frame.score.kept])
    return f"{frame.score.kept} FINDING{'S' if frame.score.kept > 1 else ''}   score {scores}"


def _against_truth(frame: SweepFrame) -> str:
    false = frame.score.false_positives
    parts = []
    if frame.is_marked:
        parts.append(f"Dice {frame.score.dice:.2f}")
        parts.append("found" if frame.is_found else "missed")
    else:
        parts.append("nothing marked")
    if false:
        parts.append(f"{false} false")
    return "   ".join(parts)
