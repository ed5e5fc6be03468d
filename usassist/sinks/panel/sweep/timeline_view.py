"""The timeline as HTML: what every frame came to, the best score, the marks; to be clicked on."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from usassist.bus import MarkKind, Plane, Side
from usassist.sinks.panel.sweep.log import MarkAt
from usassist.sinks.panel.sweep.timeline import Columns
from usassist.words import Words

__all__ = ["COLUMNS", "clock", "draw_timeline", "plane_in_words"]

COLUMNS = 400
"""That are drawn: a column is two or three px wide on a page."""

_STATES = ("finding", "no_finding", "stale", "no_result")
_HEIGHT, _LEAST = 24.0, 3.0  # of the lane of states, and of a share that is not none
_MOST_TICKS = 6
_SIGNS = {
    MarkKind.BOOKMARK: "▾",
    MarkKind.WRONG: "×",
    MarkKind.MISSED: "○",
    MarkKind.PLANE: "◆",
    MarkKind.DESCRIPTORS: "≡",
    MarkKind.SCALE: "↔",
}


def clock(t_s: float, digits: int = 1) -> str:
    """A time as ``0:41.2`` or ``1:02:03.4``."""
    tenths = round(t_s * 10**digits)
    seconds, part = divmod(tenths, 10**digits)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    rest = f"{second:02d}" + (f".{part:0{digits}d}" if digits else "")
    return f"{hours}:{minute:02d}:{rest}" if hours else f"{minute}:{rest}"


def plane_in_words(plane: Plane | None, side: Side | None, words: Words) -> str:
    """A plane and side as they were marked."""
    return words.join(
        [words("plane.none" if plane is None else f"plane.{plane}")] + ([] if side is None else [words(f"side.{side}")])
    )


def draw_timeline(
    columns: Columns, marks: Sequence[tuple[MarkAt, float]], words: Words, selected_s: float | None = None
) -> str:
    """The HTML.

    Parameters
    ----------
    columns : of the sweep
    marks : each with its time, s
    words : part ``sweep``
    selected_s : time of the frame that was chosen; None = none was
    """
    if not columns.frames:
        return f'<p class="us-tl-none">{escape(words("sweep.none"))}</p>'
    length = columns.length_s
    alt = words(
        "sweep.timeline_alt",
        frames=columns.frames,
        length=clock(length),
        finding=sum(columns.finding),
        no_finding=sum(columns.no_finding),
        no_result=sum(columns.no_result) + sum(columns.stale),
        missing=sum(columns.missing),
    )
    count = len(columns.frame_id)
    shapes = "".join(
        (
            *(f'<path class="us-tl-{state}" d="{path}"/>' for state, path in _states(columns)),
            f'<path class="us-tl-score" d="{_score(columns)}"/>',
            *(f'<path class="us-tl-cut" d="M{at} 0V{_HEIGHT + 26:g}"/>' for at, cut in enumerate(columns.cut) if cut),
        )
    )
    cursor = "" if selected_s is None else f'<i class="us-tl-at" style="left:{_percent(selected_s, length)}"></i>'
    return (
        f'<div class="us-tl" role="img" aria-label="{escape(alt, quote=True)}">'
        f'<div class="us-tl-marks">{"".join(_mark(mark, t_s, length, words) for mark, t_s in marks)}</div>'
        f'<svg viewBox="0 0 {count} {_HEIGHT + 26:g}" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'
        f'{cursor}<div class="us-tl-ticks" aria-hidden="true">{_ticks(length)}</div></div>'
        f'<p class="us-tl-said">{escape(alt)}</p><p class="us-tl-legend">{_legend(words)}</p>'
    )


def _states(columns: Columns) -> list[tuple[str, str]]:
    """Per column the share of each state, one on the other; what is there is never hidden by rounding."""
    parts: dict[str, list[str]] = {name: [] for name in (*_STATES, "missing")}
    runs: dict[str, tuple[int, float, float] | None] = dict.fromkeys(parts)
    counts = zip(*(getattr(columns, name) for name in _STATES), columns.missing, strict=True)
    for at, values in enumerate((*counts, (0, 0, 0, 0, 0))):
        total = sum(values)
        heights = [max(_LEAST, _HEIGHT * value / total) if value else 0.0 for value in values]
        scale = _HEIGHT / sum(heights) if total else 0.0
        top = 0.0
        for name, height in zip(parts, heights, strict=True):
            now = (round(top, 1), round(height * scale, 1))
            top += height * scale
            before = runs[name]
            if before is not None and (before[1], before[2]) == now and now[1]:
                continue
            if before is not None:
                parts[name].append(f"M{before[0]} {before[1]:g}H{at}v{before[2]:g}H{before[0]}z")
            runs[name] = (at, *now) if now[1] else None
    return [(name, "".join(path)) for name, path in parts.items() if path]


def _score(columns: Columns) -> str:
    """Steps from 0 at the bottom to 1 at the top of the lower lane; nothing where nothing was found."""
    path: list[str] = []
    bottom = _HEIGHT + 25.0
    for at, score in enumerate(columns.score):
        if score >= 0.0:
            y = bottom - 20.0 * score
            path.append(f"{'L' if path and columns.score[at - 1] >= 0.0 and at else 'M'}{at} {y:.1f}H{at + 1}")
    return "".join(path)


def _mark(mark: MarkAt, t_s: float, length: float, words: Words) -> str:
    what = words(f"mark.{mark.kind}")
    if mark.kind is MarkKind.PLANE:
        what = words("format.label", name=what, value=plane_in_words(mark.plane, mark.side, words))
    title = escape(f"{words('format.frame', number=mark.frame_id)}, {clock(t_s)}: {what}", quote=True)
    return f'<b style="left:{_percent(t_s, length)}" title="{title}">{_SIGNS[mark.kind]}</b>'


def _percent(t_s: float, length: float) -> str:
    return f"{100.0 * min(max(t_s / max(length, 1e-3), 0.0), 1.0):.2f}%"


def _ticks(length: float) -> str:
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
    step = next((step for step in steps if length / step <= _MOST_TICKS), 7200)
    times = [step * number for number in range(int(length / step) + 1)]
    return "".join(f'<span style="left:{_percent(t_s, length)}">{clock(t_s, 0)}</span>' for t_s in times)


def _legend(words: Words) -> str:
    names = ("finding", "no_finding", "no_result", "stale", "missing", "cut")
    return "".join(
        f'<span><i class="us-tl-key-{name}"></i>{escape(words(f"sweep.legend_{name}"))}</span>' for name in names
    )
