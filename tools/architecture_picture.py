"""Drawing rooms in their layers, as SVG."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

__all__ = ["FRAME_PATH", "draw_rooms"]

FRAME_PATH = (
    ("sources", "1 2 3"),
    ("pipeline", "4 5"),
    ("modalities", "5 7"),
    ("engine", "6"),
    ("bus", "8"),
    ("sinks", "9 10"),
)
"""Rooms that a frame passes, each with the steps of ``docs/architecture.md`` that are taken there."""

_STEPS = dict(FRAME_PATH)
_PATH_ROOMS = tuple(_STEPS)
_WIDTH_PX = 1000
_MARGIN_PX = 96  # room at both sides for where a frame comes from and goes to
_ROW_PX, _BOX_PX = 76, 36
_BAR_STEP_PX, _BAR_PX = 44, 26
_TOP_PX = 20
_LETTER_PX, _PADDING_PX = 8.4, 34
_ROOM_GAP_PX, _GAP_PX, _LINE_GAP_PX = 70, 30, 14
_SWEEPS = 24
_ACCENT, _INK, _LINE, _FILL = "#d9480f", "#1c2733", "#8496a8", "#eef2f6"
_STYLE = (
    "text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:15px;fill:" + _INK + "}"
    "text.small{font-size:12.5px;fill:#53636f}text.step{font-size:12px;fill:#fff;font-weight:600}"
    f"text.frame{{fill:{_ACCENT};font-weight:600}}"
    f"rect.room{{fill:{_FILL};stroke:#b8c4d0;stroke-width:1}}"
    f"path.import{{fill:none;stroke:{_LINE};stroke-width:1.3}}path.frame{{fill:none;stroke:{_ACCENT};stroke-width:4;"
    "stroke-linecap:round;stroke-opacity:.85}"
)


@dataclass(slots=True)
class _Place:
    """A room in a layer, or the place where the line between two rooms passes a layer."""

    room: str | None
    row: int
    width_px: float
    x_px: float = 0.0
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)  # bars to which a line goes straight down from here


def draw_rooms(layers: Sequence[Sequence[str]], arrows: Collection[tuple[str, str]]) -> str:
    """Draw rooms as boxes and imports as arrows from the importer down to what it imports.

    The layers of one room each at the bottom become bars over the whole width; lines to one of them pass behind those
    above it. The path of a frame is drawn where its rooms are there.

    Parameters
    ----------
    layers : rooms of each layer, the highest first
    arrows : (importer, imported), each from a higher layer to a lower one; others are not drawn
    """
    bars = _count_bars(layers)
    boxes = [list(layer) for layer in layers[: len(layers) - bars]]
    bar_rooms = [layer[0] for layer in layers[len(boxes) :]]
    rows, imports, path = _place(boxes, bar_rooms, arrows)
    _order(rows)
    _spread(rows)
    return _svg(rows, imports, path, bar_rooms, arrows)


def _count_bars(layers: Sequence[Sequence[str]]) -> int:
    count = 0
    while count < len(layers) and len(layers[-1 - count]) == 1:
        count += 1
    return count


def _place(
    boxes: Sequence[Sequence[str]], bars: Sequence[str], arrows: Iterable[tuple[str, str]]
) -> tuple[list[list[_Place]], list[list[_Place]], list[list[_Place]]]:
    """Rows of places, and lines through them: imports, and the path of a frame from one row to another.

    A line that ends at a bar has the bar in ``drops`` of its last place.
    """
    rows = [[_Place(room, row, _box_width_px(room)) for room in layer] for row, layer in enumerate(boxes)]
    place_of = {place.room: place for row in rows for place in row if place.room}

    def connect(start: _Place, end: _Place | None) -> list[_Place]:
        line = [start]
        for row in range(start.row + 1, end.row if end else len(rows)):
            line.append(_Place(None, row, 2.0))
            rows[row].append(line[-1])
        if end:
            line.append(end)
        for upper, lower in pairwise(line):
            upper.below.append(lower)
            lower.above.append(upper)
        return line

    imports: list[list[_Place]] = []
    for importer, imported in sorted(arrows):
        if importer in place_of and (imported in place_of or imported in bars):
            line = connect(place_of[importer], place_of.get(imported))
            if imported in bars:
                line[-1].drops.append(imported)
            if len(line) > 1:
                imports.append(line)
    path: list[list[_Place]] = []
    if set(_PATH_ROOMS) <= set(place_of):
        for first, second in pairwise(place_of[room] for room in _PATH_ROOMS):
            if first.row != second.row:
                path.append(connect(*sorted((first, second), key=lambda place: place.row)))
    return rows, imports, path


def _box_width_px(room: str) -> float:
    badge = _badge_width_px(_STEPS[room]) + 8 if room in _STEPS else 0.0
    return _LETTER_PX * len(room) + _PADDING_PX + badge


def _badge_width_px(steps: str) -> float:
    return 7.5 * len(steps) + 11


def _order(rows: list[list[_Place]]) -> None:
    """Order each row so that few lines cross: by the middle of the neighbours, over and over, the best one kept."""
    for row in rows:
        _let_flow(row)
    best = [list(row) for row in rows]
    fewest = _crossings(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            _sort_by_neighbours(row, rows, down=down)
            _let_flow(row)
        _swap_neighbours(rows)
        if (count := _crossings(rows)) < fewest:
            best, fewest = [list(row) for row in rows], count
    for row, kept in zip(rows, best, strict=True):
        row[:] = kept


def _sort_by_neighbours(row: list[_Place], rows: Sequence[Sequence[_Place]], *, down: bool) -> None:
    share = {id(place): index / max(len(other) - 1, 1) for other in rows for index, place in enumerate(other)}

    def middle(place: _Place) -> float:
        near = (place.above if down else place.below) or place.above or place.below
        return sum(share[id(other)] for other in near) / len(near) if near else 0.5

    row.sort(key=middle)


def _swap_neighbours(rows: list[list[_Place]]) -> None:
    count = _crossings(rows)
    for row in rows:
        for index in range(len(row) - 1):
            if row[index].room in _PATH_ROOMS and row[index + 1].room in _PATH_ROOMS:
                continue
            row[index], row[index + 1] = row[index + 1], row[index]
            if (now := _crossings(rows)) < count:
                count = now
            else:
                row[index], row[index + 1] = row[index + 1], row[index]


def _crossings(rows: Sequence[Sequence[_Place]]) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        rank = {id(place): index for index, place in enumerate(lower)}
        ends = [[rank[id(other)] for other in place.below] for place in upper]
        for left, first in enumerate(ends):
            for second in ends[left + 1 :]:
                count += sum(a > b for a in first for b in second)
    return count


def _let_flow(row: list[_Place]) -> None:
    """Put the rooms that a frame passes in its order from left to right, on the places that they have among others."""
    path = sorted(
        (place for place in row if place.room in _PATH_ROOMS), key=lambda place: _PATH_ROOMS.index(place.room)
    )
    taken = [index for index, place in enumerate(row) if place.room in _PATH_ROOMS]
    for index, place in zip(taken, path, strict=True):
        row[index] = place


def _spread(rows: list[list[_Place]]) -> None:
    """Give every place its x: near the middle of its neighbours, in the order of the row, nothing overlapping."""
    for row in rows:
        for index, place in enumerate(row):
            place.x_px = _WIDTH_PX * (index + 1) / (len(row) + 1)
    for sweep in range(4 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_pull(place) for place in row]
            offsets = [0.0]
            for left, right in pairwise(row):
                gap = (_LINE_GAP_PX, _GAP_PX, _ROOM_GAP_PX)[bool(left.room) + bool(right.room)]
                offsets.append(offsets[-1] + (left.width_px + right.width_px) / 2 + gap)
            free = _rising([(x - off, weight) for (x, weight), off in zip(wanted, offsets, strict=True)])
            lowest = _MARGIN_PX + row[0].width_px / 2
            highest = _WIDTH_PX - _MARGIN_PX - row[-1].width_px / 2 - offsets[-1]
            for place, x, offset in zip(row, free, offsets, strict=True):
                place.x_px = min(max(x, lowest), max(highest, lowest)) + offset


def _pull(place: _Place) -> tuple[float, float]:
    total, weight = 0.0, 0.0
    for other in (*place.above, *place.below):
        strength = 1.0 + 3.0 * ((place.room is None) + (other.room is None))
        total += strength * other.x_px
        weight += strength
    return (total / weight, weight) if weight else (place.x_px, 1.0)


def _rising(wanted: Sequence[tuple[float, float]]) -> list[float]:
    """The rising sequence that is nearest to what is wanted, by weighted least squares (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for x, weight in wanted:
        pools.append((x, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (x1, w1, n1), (x2, w2, n2) = pools[-2:]
            pools[-2:] = [((x1 * w1 + x2 * w2) / (w1 + w2), w1 + w2, n1 + n2)]
    return [x for x, _, count in pools for _ in range(count)]


def _svg(
    rows: Sequence[Sequence[_Place]],
    imports: Iterable[Sequence[_Place]],
    path: Iterable[Sequence[_Place]],
    bars: Sequence[str],
    arrows: Collection[tuple[str, str]],
) -> str:
    bottom = _TOP_PX + len(rows) * _ROW_PX
    bar_top = {room: bottom + index * _BAR_STEP_PX for index, room in enumerate(bars)}
    height = bottom + len(bars) * _BAR_STEP_PX + 22
    places = [place for row in rows for place in row]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_PX} {height}" width="{_WIDTH_PX}" '
        f'height="{height}" role="img">',
        "<title>The rooms of usassist in their layers, and the path of a frame</title>",
        f"<style>{_STYLE}</style>",
        f"<defs>{_tip('tip', 9, _LINE)}{_tip('frame', 17, _ACCENT)}</defs>",
        f'<rect width="{_WIDTH_PX}" height="{height}" fill="#fff"/>',
        *(_import_line(line) for line in imports),
        *(_drop(place, bar, bar_top[bar]) for place in places for bar in place.drops),
        *_bar_arrows(bar_top, arrows),
        *_frame_lines({place.room: place for place in places}, path),
        *(_box(place.room, place.x_px, _y(place.row), place.width_px, _BOX_PX) for place in places if place.room),
        *(_box(room, _WIDTH_PX / 2, top, _WIDTH_PX - 2 * _MARGIN_PX, _BAR_PX) for room, top in bar_top.items()),
        f'<text class="small" x="{_MARGIN_PX}" y="{height - 8}">Grey: imports, without those that others imply. '
        "Orange: the path of a frame, with the numbers of its steps.</text>",
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def _tip(name: str, size_px: int, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="{size_px}" markerHeight="{size_px}" '
        'orient="auto-start-reverse" markerUnits="userSpaceOnUse">'
        f'<path d="M0 .8 8 4 0 7.2z" fill="{colour}"/></marker>'
    )


def _y(row: int) -> float:
    return _TOP_PX + row * _ROW_PX


def _box(room: str, x_px: float, y_px: float, width_px: float, height_px: float) -> str:
    steps = _STEPS.get(room)
    badge_px = _badge_width_px(steps) if steps else 0.0
    middle = y_px + height_px / 2
    out = (
        f'<rect class="room" x="{x_px - width_px / 2:.1f}" y="{y_px:.1f}" width="{width_px:.1f}" height="{height_px}" '
        f'rx="5"/><text x="{x_px - (badge_px + 8 if steps else 0) / 2:.1f}" y="{middle + 5:.1f}" '
        f'text-anchor="middle">{escape(room)}</text>'
    )
    if steps:
        left = x_px + width_px / 2 - badge_px - 10
        out += (
            f'<rect x="{left:.1f}" y="{middle - 9:.1f}" width="{badge_px:.1f}" height="18" rx="9" fill="{_ACCENT}"/>'
            f'<text class="step" x="{left + badge_px / 2:.1f}" y="{middle + 4.2:.1f}" text-anchor="middle">'
            f"{steps}</text>"
        )
    return out


def _import_line(line: Sequence[_Place]) -> str:
    tip = ' marker-end="url(#tip)"' if line[-1].room else ""
    return f'<path class="import" d="{_route(line)}"{tip}/>'


def _route(line: Sequence[_Place], *, last: bool = False) -> str:
    """A line through its places, straight beside boxes; it leaves and meets boxes spread along their edges."""
    x, y = _port(line[0], line[0].below, line[1], last=last), _y(line[0].row) + _BOX_PX
    parts = [f"M{x:.1f} {y:.1f}"]
    for upper, lower in pairwise(line):
        to_x = lower.x_px if lower.room is None else _port(lower, lower.above, upper, last=last)
        parts.append(_curve(x, y, to_x, _y(lower.row)))
        x, y = to_x, _y(lower.row)
        if lower.room is None:
            y += _BOX_PX
            parts.append(f"V{y:.1f}")
    return "".join(parts)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    half = (to_y - y) / 2
    return f"C{x:.1f} {y + half:.1f} {to_x:.1f} {to_y - half:.1f} {to_x:.1f} {to_y:.1f}"


def _drop(place: _Place, bar: str, bar_top_px: float) -> str:
    x = place.x_px + 22.0 * (place.drops.index(bar) - (len(place.drops) - 1) / 2)
    return f'<path class="import" d="M{x:.1f} {_y(place.row) + _BOX_PX:.1f}V{bar_top_px:.1f}" marker-end="url(#tip)"/>'


def _bar_arrows(bar_top: Mapping[str, float], arrows: Collection[tuple[str, str]]) -> list[str]:
    inside = sorted(
        (arrow for arrow in arrows if set(arrow) <= set(bar_top)), key=lambda arrow: [bar_top[room] for room in arrow]
    )
    return [
        f'<path class="import" d="M{_MARGIN_PX + 30 + 22 * index} {bar_top[importer] + _BAR_PX}V{bar_top[imported]}" '
        'marker-end="url(#tip)"/>'
        for index, (importer, imported) in enumerate(inside)
    ]


def _port(place: _Place, neighbours: Sequence[_Place], other: _Place, *, last: bool) -> float:
    """Where a line leaves or meets a box; of two lines between the same boxes the first or the last."""
    ordered = sorted(neighbours, key=lambda near: near.x_px)
    index = [i for i, near in enumerate(ordered) if near is other][-1 if last else 0]
    reach = min(place.width_px - 20, 18.0 * len(ordered))
    return place.x_px + reach * ((index + 0.5) / len(ordered) - 0.5)


def _frame_lines(place_of: Mapping[str | None, _Place], path: Iterable[Sequence[_Place]]) -> list[str]:
    """The path of a frame, from the left edge through its rooms to the right edge."""
    if not set(_PATH_ROOMS) <= set(place_of):
        return []
    stops = [place_of[room] for room in _PATH_ROOMS]
    y = [_y(place.row) + _BOX_PX / 2 for place in stops]
    left = [place.x_px - place.width_px / 2 for place in stops]
    right = [place.x_px + place.width_px / 2 for place in stops]
    level = [f"M14 {y[0]:.1f}H{left[0]:.1f}", f"M{right[-1]:.1f} {y[-1]:.1f}H{_WIDTH_PX - 10}"]
    level += [f"M{right[i]:.1f} {y[i]:.1f}H{left[i + 1]:.1f}" for i in range(len(stops) - 1) if y[i] == y[i + 1]]
    out = [f'<path class="frame" d="{line}" marker-end="url(#frame)"/>' for line in level]
    for line in path:
        upward = _PATH_ROOMS.index(line[0].room or "") > _PATH_ROOMS.index(line[-1].room or "")
        tip = "marker-start" if upward else "marker-end"
        out.append(f'<path class="frame" d="{_route(line, last=True)}" {tip}="url(#frame)"/>')
    return [
        *out,
        f'<text class="frame" x="14" y="{y[0] - 10:.1f}">grabber</text>',
        f'<text class="frame" x="{_WIDTH_PX - 14}" y="{y[-1] - 10:.1f}" text-anchor="end">pixel</text>',
    ]
