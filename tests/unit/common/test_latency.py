"""Tests of the latency histogram."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from usassist.common.latency import LatencyHistogram


def _filled(values_ns: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in values_ns:
        histogram.record(value)
    return histogram


@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_percentiles_are_within_two_per_cent_of_those_of_all_values(sigma: float) -> None:
    values = np.random.default_rng(3).lognormal(16.0, sigma, 20_000).astype(np.int64)
    histogram = _filled(values.tolist())
    percents = (1.0, 25.0, 50.0, 95.0, 99.0, 99.9)
    exact = np.percentile(values, percents, method="inverted_cdf") / 1e6
    np.testing.assert_allclose(histogram.percentiles_ms(percents), exact, rtol=0.02)
    assert histogram.max_ns == values.max()
    assert histogram.count == len(values)


def test_every_bucket_lies_near_its_values() -> None:
    for exponent in range(11, 40):
        for value in (1 << exponent, (1 << exponent) + (1 << (exponent - 1)), (1 << (exponent + 1)) - 1):
            (middle_ms,) = _filled([value, 1 << 50]).percentiles_ms((50.0,))
            assert middle_ms == pytest.approx(value / 1e6, rel=0.02, abs=1.1e-3)


def test_no_percentile_is_above_the_longest() -> None:
    summary = _filled([5_000_001] * 3).summary()
    assert summary is not None
    assert summary["p99_ms"] <= summary["max_ms"] == 5.0


def test_values_outside_the_range_count_in_the_first_and_last_bucket() -> None:
    histogram = _filled([-5, 1 << 60])
    assert histogram.count == 2
    assert histogram.percentiles_ms((50.0,)) == [pytest.approx(0.0, abs=0.001)]


def test_an_empty_histogram_has_no_figures() -> None:
    histogram = LatencyHistogram()
    assert histogram.summary() is None
    with pytest.raises(ValueError, match="without values"):
        histogram.percentiles_ms((50.0,))


def test_recording_allocates_no_memory() -> None:
    histogram = _filled([1_000])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for value in range(100_000_000, 100_050_000):
            histogram.record(value)
        assert tracemalloc.get_traced_memory()[0] - before < 2_000
    finally:
        tracemalloc.stop()
