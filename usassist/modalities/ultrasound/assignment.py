"""Pairs rows with columns so that the sum of their costs is least; small and exact."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["assign"]


def assign(costs: Sequence[Sequence[float]], limit: float) -> list[int]:
    """Pair rows with columns, each with one at most, where to leave a row alone costs `limit`.

    The Hungarian method by shortest augmenting paths, as in Jonker and Volgenant, "A shortest augmenting path algorithm
    for dense and sparse linear assignment problems" (Computing 38, 1987). Exact; O(N² (M + N)) for N rows, M columns.
    Written for a handful of each, where plain numbers are faster than arrays.

    Parameters
    ----------
    costs : N rows of M numbers, 0 or more; infinite where a pair is not allowed
    limit : pairs that cost as much or more are not made

    Returns
    -------
    columns : N, the column of each row, -1 = none
    """
    rows, columns = len(costs), len(costs[0]) if costs else 0
    chosen = [-1] * rows
    pairs = [(i, j) for i, row in enumerate(costs) for j, cost in enumerate(row) if cost < limit]
    if len(pairs) == len({i for i, _ in pairs}) == len({j for _, j in pairs}):  # nearly always
        for i, j in pairs:
            chosen[i] = j
        return chosen
    # Each row may also take a column of its own, which stands for "none".
    table = [
        [min(cost, limit) for cost in row] + [limit if i == j else math.inf for j in range(rows)]
        for i, row in enumerate(costs)
    ]
    width = columns + rows
    row_price, column_price = [0.0] * rows, [0.0] * width
    row_of = [-1] * width
    for start in range(rows):
        least, came_from, done = [math.inf] * width, [-1] * width, [False] * width
        row, at, base = start, -1, 0.0
        while True:
            step, following = math.inf, -1
            for column in range(width):
                if done[column]:
                    continue
                price = base + table[row][column] - row_price[row] - column_price[column]
                if price < least[column]:
                    least[column], came_from[column] = price, at
                if least[column] < step:
                    step, following = least[column], column
            done[following] = True
            if row_of[following] < 0:
                break
            at, row, base = following, row_of[following], step
        row_price[start] += step
        for column in range(width):
            if done[column] and column != following:
                row_price[row_of[column]] += step - least[column]
                column_price[column] -= step - least[column]
        while following >= 0:
            before = came_from[following]
            row_of[following] = start if before < 0 else row_of[before]
            following = before
    for column in range(columns):
        if row_of[column] >= 0 and costs[row_of[column]][column] < limit:
            chosen[row_of[column]] = column
    return chosen
