"""Geometry says when a plane should be looked at, and leaves whole planes alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.modalities.ct.body.volumes import BODY, BONE, CAVITY, WALL, ellipse, make_volume
from usassist.modalities.ct.body.checks import PlaneChecks, check_plane
from usassist.modalities.ct.body.tissues import Compartment, Tissue, label_tissues

SHAPE, SPACING = (280, 360), (1.0, 1.0)


def _labels() -> np.ndarray:
    plane = np.asarray(make_volume().voxels[0])
    found = np.zeros(SHAPE, np.uint8)
    for axes, compartment in (
        (BODY, Compartment.SUBCUTANEOUS),
        (WALL, Compartment.MUSCLE),
        (CAVITY, Compartment.CAVITY),
        (BONE, Compartment.BONE),
    ):
        found[ellipse(SHAPE, SPACING, axes)] = compartment
    return label_tissues(found, plane)


def _check(labels: np.ndarray, plane: np.ndarray | None = None) -> PlaneChecks:
    return check_plane(labels, np.asarray(make_volume().voxels[0]) if plane is None else plane, SPACING)


def test_a_whole_plane_has_no_doubts() -> None:
    checks = _check(_labels())
    assert checks.doubts == ()
    assert not checks.is_cut_off
    assert checks.open_share == 0.0


def test_a_wall_that_is_open_is_seen() -> None:
    labels = _labels()
    upper = labels[:110]
    upper[upper == Tissue.SKELETAL_MUSCLE + 1] = Tissue.ABDOMINAL_CONTENTS + 1
    assert any("wall" in doubt for doubt in _check(labels).doubts)


def test_muscle_on_one_side_is_seen() -> None:
    labels = _labels()
    left = labels[:, :180]
    left[left == Tissue.SKELETAL_MUSCLE + 1] = Tissue.MUSCLE_OTHER + 1
    checks = _check(labels)
    assert checks.asymmetry > 0.9
    assert any("left and right" in doubt for doubt in checks.doubts)


def test_a_body_without_bone_or_cavity_is_seen() -> None:
    labels = _labels()
    labels[labels == Tissue.BONE + 1] = Tissue.SUBCUTANEOUS_FAT + 1
    labels[labels == Tissue.VISCERAL_FAT + 1] = Tissue.SUBCUTANEOUS_FAT + 1
    doubts = " ".join(_check(labels).doubts)
    assert "bone" in doubts
    assert "cavity" in doubts


@pytest.mark.parametrize("shift_px", [0, 45])
def test_a_round_field_of_view_that_cuts_the_body_is_seen(shift_px: int) -> None:
    """The body is 300 mm wide; the round field has a diameter of 280 mm, and its padding one value."""
    labels, plane = _labels(), np.array(make_volume().voxels[0])
    plane = np.roll(plane, shift_px, axis=1)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    outside = np.hypot(y - 139.5, x - 179.5) > 140
    plane[outside] = -2048
    labels = np.roll(labels, shift_px, axis=1)
    labels[outside] = 0
    checks = _check(labels, plane)
    assert checks.is_cut_off
    assert checks.edge_mm > 20
