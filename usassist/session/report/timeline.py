"""The sweep over time as an inline SVG: when there was an answer, and when each nodule was outlined."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from usassist.session.summary import SweepDocument
from usassist.words import Words

__all__ = ["draw_timeline"]

_WIDTH, _LEFT, _ROW, _BAR, _TEXT = 1000.0, 92.0, 30.0, 18.0, 17.0
_LEAST = 1.6  # width of the shortest stretch, so that it can be seen
_MOST_TICKS = 10
_KINDS = ("no_result", "not_live", "no_frames")

PATTERNS = (
    '<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="7" height="7" fill="#f7dcd7"/><rect width="3" height="7" fill="#b3341f"/></pattern>'
    '<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="#d9dfe3"/>'
    '<circle cx="3" cy="3" r="1.5" fill="#4d5b66"/></pattern>'
)
"""Patterns of the kinds, so that they are told apart without colour; the page has them once."""


def draw_timeline(document: SweepDocument, words: Words) -> str:
    """The SVG."""
    length = max(document.sweep.length_s, 1e-3)
    scale = (_WIDTH - _LEFT - 4.0) / length
    rows: list[str] = [_row(0, words("timeline.sweep"), _sweep(document, scale))]
    for nodule in document.nodules:
        parts = _rects(((item.first_s, item.last_s) for item in nodule.seen), scale, "seen", len(rows))
        rows.append(_row(len(rows), nodule.name, parts + _best(nodule.best.t_s, scale, len(rows))))
    if document.untracked:
        period = document.sweep.length_s / max(document.sweep.frames, 1)
        spans = ((run.first_s, run.last_s + period) for run in document.untracked)
        rows.append(_row(len(rows), words("timeline.untracked"), _rects(spans, scale, "seen", len(rows))))
    height = len(rows) * _ROW
    alt = escape(words("timeline.alt", length=words.number(length, 1)), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{alt}" class="timeline" '
        f'viewBox="0 0 {_WIDTH:g} {height + 34:g}">{_grid(length, scale, height, words)}{"".join(rows)}</svg>'
    )


def _row(number: int, label: str, content: str) -> str:
    y = number * _ROW + _ROW / 2 + _TEXT * 0.35
    return f'<text x="0" y="{y:.1f}" font-size="{_TEXT:g}">{escape(label)}</text>{content}'


def _sweep(document: SweepDocument, scale: float) -> str:
    """Answered, and over it what was not, which is never hidden by rounding."""
    by_kind: dict[str, list[tuple[float, float]]] = {}
    for item in document.unseen.timeline:
        by_kind.setdefault(item.kind, []).append((item.first_s, item.last_s))
    parts = [_rects(by_kind.get("answered", []), scale, "answered", 0)]
    parts += [_rects(by_kind.get(kind, []), scale, kind, 0) for kind in _KINDS]
    return "".join(parts)


def _rects(spans: Iterable[tuple[float, float]], scale: float, kind: str, row: int) -> str:
    """Stretches of one kind as one path; those that meet on the drawing are one rectangle."""
    y = row * _ROW + (_ROW - _BAR) / 2
    drawn: list[list[float]] = []
    for first_s, last_s in spans:
        begin = _LEFT + first_s * scale
        end = max(_LEFT + last_s * scale, begin + _LEAST)
        if drawn and begin - drawn[-1][1] < 0.3:
            drawn[-1][1] = max(drawn[-1][1], end)
        else:
            drawn.append([begin, end])
    path = "".join(f"M{begin:.1f} {y:g}h{end - begin:.1f}v{_BAR:g}h{begin - end:.1f}z" for begin, end in drawn)
    return f'<path d="{path}" class="{kind}"/>' if path else ""


def _best(t_s: float, scale: float, row: int) -> str:
    x, y = _LEFT + t_s * scale, row * _ROW + (_ROW - _BAR) / 2 - 4
    return f'<path d="M{x:.1f} {y:g}v{_BAR + 8:g}" class="best"/>'


def _grid(length: float, scale: float, height: float, words: Words) -> str:
    step = _nice(length / _MOST_TICKS)
    parts = []
    for number in range(int(length / step + 1e-9) + 1):
        t_s = number * step
        x = _LEFT + t_s * scale
        parts.append(f'<path d="M{x:.1f} 0v{height + 6:g}" class="grid"/>')
        text = words.number(t_s, 0 if step >= 1 else 1)
        anchor = "end" if x > _WIDTH - 30 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{height + 24:g}" font-size="{_TEXT:g}" text-anchor="{anchor}">'
            f"{escape(words('format.seconds', value=text) if number == 0 else text)}</text>"
        )
    return "".join(parts)


def _nice(least: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not less."""
    power = 10.0 ** math.floor(math.log10(max(least, 0.1)))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least - 1e-12)
