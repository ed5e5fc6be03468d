"""Where a label stands: beside its nodule, on no nodule and on no other label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["Box", "Places"]

Box = tuple[int, int, int, int]
"""x1, y1, x2, y2, px."""

_KEPT = 64


class Places:
    """Finds a place for each label, which stays on its side of the nodule while that is free, so that it does not jump.

    Parameters
    ----------
    gap_px : between a label and its nodule
    """

    def __init__(self, gap_px: int) -> None:
        self._gap_px = gap_px
        self._last: dict[str, int] = {}

    def find(
        self, name: str, size_px: tuple[int, int], own: Box, taken: Sequence[Box], area_px: tuple[int, int]
    ) -> Box | None:
        """The place of one label.

        Parameters
        ----------
        name : of the nodule, by which it is found again on the next frame
        size_px : width and height of the label
        own : box of its nodule
        taken : boxes of all nodules, and of the labels that have a place
        area_px : width and height of the image

        Returns
        -------
        box : None where there is no free place
        """
        places = list(self._candidates(size_px, own))
        last = self._last.get(name, 0)
        for index in sorted(range(len(places)), key=lambda index: (index != last, index)):
            x1, y1, x2, y2 = places[index]
            if x1 < 0 or y1 < 0 or x2 > area_px[0] or y2 > area_px[1]:
                continue
            if not any(x1 < right and left < x2 and y1 < bottom and top < y2 for left, top, right, bottom in taken):
                self._last[name] = index
                if len(self._last) > _KEPT:
                    del self._last[next(iter(self._last))]
                return places[index]
        return None

    def _candidates(self, size_px: tuple[int, int], own: Box) -> Iterator[Box]:
        """Beside the nodule, above it and below it; then the same farther away."""
        (width, height), (x1, y1, x2, y2), gap = size_px, own, self._gap_px
        for away in (0, height, 2 * height, 4 * height):
            right, left, above, below = (
                x2 + gap + away,
                x1 - gap - width - away,
                y1 - gap - height - away,
                y2 + gap + away,
            )
            center_x, center_y = (x1 + x2 - width) // 2, (y1 + y2 - height) // 2
            for x, y in (
                (right, y1),
                (right, center_y),
                (right, y2 - height),
                (left, y1),
                (left, center_y),
                (left, y2 - height),
                (x1, below),
                (center_x, below),
                (x2 - width, below),
                (x1, above),
                (center_x, above),
                (x2 - width, above),
                (right, below),
                (left, below),
                (right, above),
                (left, above),
            ):
                yield x, y, x + width, y + height
