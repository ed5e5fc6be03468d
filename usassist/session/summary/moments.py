"""When each frame of a session was, how long it lasted, and what is known of it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from usassist.records import FrameLine
from usassist.session.manifest import Manifest

__all__ = ["Moments", "find_moments", "merge_intervals"]

_SILENT_PERIODS, _SILENT_S = 10.0, 0.33  # as of the display: longer without a frame means that none arrives
_USUAL_PERIOD_S = 1.0 / 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Times of the frames, s from the first.

    Attributes
    ----------
    t_s : when each frame was
    lasts_s : how long each was shown
    silent_s : how long no frame came after each
    missing : how many frames are missing after each
    period_s : usual distance of two frames
    from_clip : True = the stamps of the clip, because the session did not keep time
    """

    t_s: tuple[float, ...]
    lasts_s: tuple[float, ...]
    silent_s: tuple[float, ...]
    missing: tuple[int, ...]
    period_s: float
    from_clip: bool

    @property
    def length_s(self) -> float:
        """From the first frame to the end of the last."""
        return self.t_s[-1] + self.lasts_s[-1] if self.t_s else 0.0


def find_moments(manifest: Manifest, frames: Sequence[FrameLine]) -> Moments:
    """Times of the frames of a session.

    A frame lasts until the next one. Where frames are missing in between, or none came for more than 0.33 s and ten
    periods, it lasts the usual period, and the rest counts as time without frames.

    Parameters
    ----------
    manifest : says whether the session kept time; if not, the stamps of the clip are used where all frames have them,
        else their numbers and the rate of the source
    frames : lines, in order; at least one
    """
    clip = None if manifest.source.get("realtime", True) else _clip_times(frames, manifest.source.get("rate_hz"))
    first_ns = frames[0].t_capture_ns
    t_s = clip or tuple((line.t_capture_ns - first_ns) / 1e9 for line in frames)
    missing = [after.frame_id - before.frame_id - 1 for before, after in itertools.pairwise(frames)]
    steps = [after - before for before, after in itertools.pairwise(t_s)]
    whole = [step for step, lost in zip(steps, missing, strict=True) if not lost]
    period_s = statistics.median(whole or [_USUAL_PERIOD_S])
    limit_s = max(_SILENT_PERIODS * period_s, _SILENT_S)
    lasts = [min(step, period_s) if lost or step > limit_s else step for step, lost in zip(steps, missing, strict=True)]
    return Moments(
        t_s=t_s,
        lasts_s=(*lasts, period_s),
        silent_s=(*(step - last for step, last in zip(steps, lasts, strict=True)), 0.0),
        missing=(*missing, 0),
        period_s=period_s,
        from_clip=clip is not None,
    )


def _clip_times(frames: Sequence[FrameLine], rate_hz: float | None) -> tuple[float, ...] | None:
    times = [float(line.pts * line.time_base) for line in frames if line.pts is not None and line.time_base is not None]
    if len(times) < len(frames) or any(after <= before for before, after in itertools.pairwise(times)):
        if not rate_hz:
            return None
        times = [line.frame_id / rate_hz for line in frames]
    return tuple(time - times[0] for time in times)


def merge_intervals(
    parts: Iterable[tuple[float, float, str]], reach_s: float = 1e-6
) -> Iterator[tuple[float, float, str]]:
    """Join neighbours of one kind that are no further apart than `reach_s`: begin, end and kind, in order of time."""
    current: tuple[float, float, str] | None = None
    for begin, end, kind in parts:
        if current is not None and current[2] == kind and begin - current[1] <= reach_s:
            current = (current[0], max(current[1], end), kind)
            continue
        if current is not None:
            yield current
        current = (begin, end, kind)
    if current is not None:
        yield current
