from __future__ import annotations

import numpy as np
import pytest

from usassist.phantom import PhantomConfig
from usassist.phantom.beam import BeamGrid
from usassist.phantom.noise import ScattererField
from usassist.phantom.speckle import PointSpread

RAYLEIGH_SNR = 1.91


def make(looks: int = 1, geometry: str = "linear") -> tuple[BeamGrid, ScattererField, PointSpread]:
    config = PhantomConfig(seed=5, looks=looks, geometry=geometry)  # type: ignore[arg-type]
    grid = BeamGrid(config, (600, 600))
    return grid, ScattererField(5, (grid.rows, grid.lines), 20), PointSpread(grid, config)


def envelopes(looks: int = 1, geometry: str = "linear", count: int = 6) -> np.ndarray:
    grid, scatterers, spread = make(looks, geometry)
    ones = np.ones((grid.rows, grid.lines), np.float32)
    return np.stack([spread.envelope(scatterers.at(5.0 * k), ones) for k in range(count)])


@pytest.mark.parametrize("geometry", ["linear", "convex"])
def test_homogeneous_tissue_gives_fully_developed_speckle_at_every_depth(geometry: str) -> None:
    stack = envelopes(geometry=geometry)
    for part in np.array_split(stack[:, 20:-20], 6, axis=1):
        assert part.mean() / part.std() == pytest.approx(RAYLEIGH_SNR, abs=0.05)


def test_homogeneous_tissue_is_equally_bright_at_every_depth() -> None:
    stack = envelopes()
    means = [part.mean() for part in np.array_split(stack, 12, axis=1)]
    np.testing.assert_allclose(means, 1.0, atol=0.05)


def test_compounding_raises_the_speckle_snr() -> None:
    stack = envelopes(looks=4)
    assert stack.mean() / stack.std() > 1.4 * RAYLEIGH_SNR


def test_speckle_is_finest_across_the_beam_at_the_focus() -> None:
    grid, scatterers, spread = make()
    field = spread.field(scatterers.at(0.0))
    signal = field[..., 0] + 1j * field[..., 1]

    def correlation(depth_mm: float) -> float:
        row = int(depth_mm / grid.range_step_mm)
        part = signal[row - 40 : row + 40]
        return float(np.abs(np.vdot(part[:, 2:], part[:, :-2])) / np.vdot(part, part).real)

    assert correlation(18.0) < correlation(4.0) - 0.05
    assert correlation(18.0) < correlation(36.0) - 0.05


def test_speckle_decorrelates_along_elevation_as_the_weights_say() -> None:
    _, scatterers, _ = make()

    def correlation(gap_mm: float) -> float:
        a, b = scatterers.at(1.1), scatterers.at(1.1 + gap_mm)
        return float(np.vdot(a, b) / np.sqrt(np.vdot(a, a) * np.vdot(b, b)))

    for gap_mm in (0.1, 0.3, 0.5, 1.0):
        assert correlation(gap_mm) == pytest.approx(np.exp(-(gap_mm**2) / (4 * 0.5**2)), abs=0.03)
    assert abs(correlation(6.0)) < 0.03


def test_moving_by_almost_one_sample_joins_up_with_moving_by_one() -> None:
    _, scatterers, spread = make()
    for whole, rest in (((1, 0), (0.999, 0.0)), ((0, 1), (0.0, 0.999))):
        below = spread.field(scatterers.at(0.0), rest)
        above = spread.field(scatterers.at(0.0, whole), (0.0, 0.0))
        inner = np.s_[30:-30, 30:-30]
        assert np.abs(below[inner] - above[inner]).max() < 0.02
        still = spread.field(scatterers.at(0.0), (0.0, 0.0))
        assert np.abs(still[inner] - above[inner]).max() > 0.5
