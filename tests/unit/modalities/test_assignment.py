"""Pairing rows with columns at the least cost, against an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from usassist.modalities.ultrasound.assignment import assign

LIMIT = 9.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 12))
def test_no_pairing_costs_less(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.random((rows, columns)) * 15.0
    costs[rng.random((rows, columns)) < 0.2] = math.inf
    chosen = assign(costs.tolist(), LIMIT)
    used = [column for column in chosen if column >= 0]
    assert len(used) == len(set(used)), "a column is taken once"
    assert all(costs[row, column] < LIMIT for row, column in enumerate(chosen) if column >= 0)
    # Each row may also take a column of its own, which costs the limit.
    table = np.full((rows, columns + rows), 1e9)
    table[:, :columns] = np.minimum(costs, LIMIT)
    table[np.arange(rows), columns + np.arange(rows)] = LIMIT
    least = table[linear_sum_assignment(table)].sum()
    total = sum(costs[row, column] if column >= 0 else LIMIT for row, column in enumerate(chosen))
    assert total == pytest.approx(least)


def test_the_greedy_choice_is_not_taken_where_the_whole_costs_more() -> None:
    assert assign([[1.0, 2.0], [1.5, 8.0]], LIMIT) == [1, 0]
    assert assign([[9.0]], LIMIT) == [-1], "a pair at the limit is not made"
    assert assign([[], []], LIMIT) == [-1, -1]
    assert assign([], LIMIT) == []
