"""Numbers put together to id_ranges of neighbours, for telling what is missing."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["id_ranges"]


def id_ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers, neighbours put together: first and last of each run."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1]
            start = index
