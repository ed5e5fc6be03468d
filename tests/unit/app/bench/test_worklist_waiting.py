from __future__ import annotations

import numpy as np
import pytest

from usassist.app.bench.worklist_waiting import WaitingSetup, simulate_waiting
from usassist.errors import UsageError


def test_order_of_arrival_waits_as_queueing_theory_says() -> None:
    """Pollaczek-Khinchine: mean wait = load / (1 - load) x reading x (1 + c²) / 2, c² = 1 exponential, 0 constant."""
    for constant, factor in ((False, 1.0), (True, 0.5)):
        setup = WaitingSetup(studies=40_000, load=0.7, reading_min=5.0, constant_reading=constant)
        expected = 0.7 / 0.3 * 5.0 * factor
        assert simulate_waiting(setup).fifo.mean() == pytest.approx(expected, rel=0.12)


def test_a_perfect_flag_waits_as_two_classes_of_priority_do() -> None:
    """Without interruption (Cobham 1954): of the first R / (1 - its load), R = load x reading, exponential."""
    setup = WaitingSetup(studies=40_000, load=0.8, prevalence=0.2, sensitivity=1.0, specificity=1.0, scoring_min=0.0)
    waiting = simulate_waiting(setup)
    residual = 0.8 * 6.0
    assert waiting.reordered[waiting.positive].mean() == pytest.approx(residual / (1 - 0.16), rel=0.12)
    assert waiting.reordered.mean() == pytest.approx(waiting.fifo.mean(), rel=0.12), "the reader is no faster"
    assert (waiting.reordered >= 0).all()


def test_a_flag_that_says_nothing_changes_nothing_for_the_mean_and_a_late_one_helps_less() -> None:
    base = WaitingSetup(studies=10_000)
    early, late = (
        simulate_waiting(WaitingSetup(studies=10_000, scoring_min=scoring_min)) for scoring_min in (0.0, 60.0)
    )
    assert early.reordered[early.positive].mean() < late.reordered[late.positive].mean()
    never = simulate_waiting(WaitingSetup(studies=10_000, sensitivity=0.0, specificity=1.0))
    assert np.array_equal(never.fifo, never.reordered)
    assert base.load == 0.8
    with pytest.raises(UsageError, match="load"):
        WaitingSetup(load=1.0)
    with pytest.raises(UsageError, match="sensitivity"):
        WaitingSetup(sensitivity=1.2)
