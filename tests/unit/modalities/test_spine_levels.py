"""Vertebral levels: exact on simulated spines, and never a name without a landmark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.commands.ct import ct_app
from usassist.errors import VolumeError
from usassist.modalities.ct.spine import SpineLevels, find_levels
from usassist.modalities.ct.spine.discs import Discs, find_discs
from usassist.modalities.ct.spine.grid import make_grid
from usassist.modalities.ct.spine.landmarks import Landmarks
from usassist.modalities.ct.spine.naming import name_of, name_vertebrae
from usassist.modalities.ct.spine.straight import Curve
from usassist.phantom.ct.spine import Spine, SpinePlan, Vertebra
from usassist.phantom.ct.torso import TorsoPlan, make_torso
from usassist.sources.volumes import write_nifti
from usassist.volumes import Volume

NAN = float("nan")


def volume_of(hu: np.ndarray, affine: np.ndarray, unit: str = "HU") -> Volume:
    return Volume(
        session_id="test",
        source_id="ct0",
        series_id="phantom",
        modality="CT",
        voxels=hu,
        affine_ijk_to_lps_mm=affine,
        unit=unit,
    )


@pytest.fixture(scope="module")
def torso() -> tuple[Volume, dict[str, Vertebra]]:
    """T10 to S1 with contrast medium in the kidneys, on 4 mm slices."""
    hu, affine, vertebrae = make_torso(
        3, Spine(SpinePlan(scoliosis_deg=9.0)), TorsoPlan(kidney_hu=230.0, aorta_hu=300.0), z_range_mm=(-40.0, 232.0),
        spacing_zyx_mm=(4.0, 3.0, 3.0), width_mm=342.0, thickness_mm=1.5,
    )  # fmt: skip
    return volume_of(hu, affine), {item.name: item for item in vertebrae}


@pytest.fixture(scope="module")
def levels(torso: tuple[Volume, dict[str, Vertebra]]) -> SpineLevels:
    return find_levels(torso[0])


def cut(volume: Volume, low: int, high: int) -> Volume:
    affine = volume.affine_ijk_to_lps_mm.copy()
    affine[2, 3] += low * volume.spacing_zyx_mm[0]
    return volume_of(volume.voxels[low:high], affine)


def plane_at(volume: Volume, z_mm: float) -> int:
    return round((z_mm - volume.affine_ijk_to_lps_mm[2, 3]) / volume.spacing_zyx_mm[0])


def test_every_level_lies_where_it_was_simulated(
    torso: tuple[Volume, dict[str, Vertebra]], levels: SpineLevels
) -> None:
    volume, truth = torso
    assert levels.is_named
    assert levels.confidence > 0.9
    assert levels.lumbar == 5
    assert {"L5", "L4", "L3", "L2", "L1", "T12"} <= {item.name for item in levels.vertebrae}
    for item in levels.vertebrae:
        assert np.linalg.norm(np.subtract(item.centre_lps_mm, truth[item.name].centre_mm)) < (
            8 if item.is_whole else 14
        )
    assert abs(levels.plane_of("L3") - plane_at(volume, truth["L3"].centre_mm[2])) <= 1
    first, last = levels.vertebra("L3").planes or (0, 0)
    assert first < levels.plane_of("L3") < last
    with pytest.raises(VolumeError, match="T4 is not in the volume; it shows"):
        levels.plane_of("T4")


def test_last_ribs_alone_name_the_levels(torso: tuple[Volume, dict[str, Vertebra]]) -> None:
    volume, truth = torso
    low, high = plane_at(volume, truth["L3"].z_range_mm[0] - 8), plane_at(volume, truth["T11"].z_range_mm[1] + 6)
    levels = find_levels(cut(volume, low, high))
    assert levels.is_named
    assert "the last ribs" in levels.landmarks
    assert "the sacrum" not in levels.landmarks
    assert abs(levels.vertebra("L2").centre_lps_mm[2] - truth["L2"].centre_mm[2]) < 8


def test_without_a_landmark_no_vertebra_has_a_name(torso: tuple[Volume, dict[str, Vertebra]]) -> None:
    volume, truth = torso
    low, high = plane_at(volume, truth["L3"].z_range_mm[0] - 6), plane_at(volume, truth["L1"].z_range_mm[1] - 10)
    levels = find_levels(cut(volume, low, high))
    assert not levels.is_named
    assert "cannot be counted" in levels.reason
    assert levels.vertebrae
    assert not any(item.name or item.confidence for item in levels.vertebrae)
    with pytest.raises(VolumeError, match="L3 was not found: the vertebrae cannot be counted"):
        levels.plane_of("L3")


def test_axes_in_another_order_give_the_same_grid(torso: tuple[Volume, dict[str, Vertebra]]) -> None:
    volume, _ = torso
    plain = make_grid(volume)
    # (z, y, x) → planes from the back to the front, rows from the feet to the head, columns from left to right
    turned = np.ascontiguousarray(volume.voxels[:, ::-1, ::-1].transpose(1, 0, 2))
    _, rows, columns = volume.shape_zyx
    order = np.zeros((4, 4))  # (i, j, k) of the turned volume → (i, j, k)
    order[0], order[1], order[2], order[3] = (-1, 0, 0, columns - 1), (0, 0, -1, rows - 1), (0, 1, 0, 0), (0, 0, 0, 1)
    other = make_grid(volume_of(turned, volume.affine_ijk_to_lps_mm @ order))
    np.testing.assert_array_equal(plain.hu, other.hu)
    np.testing.assert_allclose(plain.to_lps_mm, other.to_lps_mm, atol=1e-9)
    corner = other.to_voxel @ (0, 0, 0, 1)
    np.testing.assert_allclose(order @ corner, plain.to_voxel @ (0, 0, 0, 1), atol=1e-9)


def test_sampling_agrees_with_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(5)
    grid = make_grid(volume_of(rng.integers(-500, 500, (9, 8, 7)).astype(np.int16), np.diag([2.0, 2.0, 2.0, 1.0])))
    points = rng.uniform((0, 0, 0), (6, 7, 8), (200, 3))
    expected = ndimage.map_coordinates(grid.hu.astype(np.float32), points[:, ::-1].T, order=1)
    np.testing.assert_allclose(grid.sample(points), expected, atol=0.01)
    assert np.isnan(grid.sample(np.array([[-1.0, 0, 0], [0, 7.5, 0]]))).all()


@pytest.mark.parametrize(
    ("shape", "spacing", "reason"),
    [
        ((40, 64, 64), 8.0, "8.0 mm apart"),
        ((60, 96, 96), 3.0, "no spinal canal"),
        ((6, 96, 96), 3.0, "no spinal canal"),
        ((1, 96, 96), 3.0, "no spinal canal"),
    ],
)
def test_what_has_no_spine_is_told(shape: tuple[int, int, int], spacing: float, reason: str) -> None:
    rng = np.random.default_rng(1)
    hu = rng.normal(40, 20, shape).astype(np.int16)
    levels = find_levels(volume_of(hu, np.diag([spacing, spacing, spacing, 1.0])))
    assert not levels.is_named
    assert not levels.vertebrae
    assert reason in levels.reason


def test_another_unit_or_a_giant_is_refused() -> None:
    hu = np.zeros((4, 8, 8), np.int16)
    with pytest.raises(VolumeError, match="need a CT in HU"):
        find_levels(volume_of(hu, np.eye(4), unit="1"))
    large = np.broadcast_to(np.int16(0), (2000, 1000, 1000))
    with pytest.raises(VolumeError, match="larger than a person"):
        find_levels(volume_of(large, np.diag([4.0, 4.0, 4.0, 1.0])))


def test_a_sacrum_whose_discs_are_not_seen_is_a_guess(
    torso: tuple[Volume, dict[str, Vertebra]], levels: SpineLevels, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowest = levels.vertebra("L5").z_range_mm[0] + 5

    def without_the_lowest(curve: Curve) -> Discs:
        found = find_discs(curve)
        seen = np.array([curve.to_lps_mm(along, 24.0)[2] > lowest for along in found.along])
        return Discs(found.along[seen], found.evidence[seen], found.has_body)

    monkeypatch.setattr("usassist.modalities.ct.spine.levels.find_discs", without_the_lowest)
    guessed = find_levels(torso[0])
    assert guessed.plane_of("L3") == levels.plane_of("L3")
    sacrum = guessed.vertebra("S1")
    assert "guess" in sacrum.reason
    assert sacrum.confidence < guessed.confidence


def test_the_command_prints_levels_and_draws_them(torso: tuple[Volume, dict[str, Vertebra]], tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    scan, picture = tmp_path / "scan.nii.gz", tmp_path / "levels.png"
    write_nifti(scan, torso[0].voxels, torso[0].affine_ijk_to_lps_mm)
    result = CliRunner().invoke(ct_app, ["levels", str(scan), "--picture", str(picture), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["is_named"]
    assert {"L3", "S1"} <= {item["name"] for item in found["vertebrae"]}
    drawn = cv2.imread(str(picture))
    assert drawn.shape[0] > 300
    assert (np.ptp(drawn, axis=2) > 100).any()  # coloured lines on grey


def landmarks_of(ribs: list[float], wing: list[float], crest: float | None = None) -> Landmarks:
    lean = [30.0 - 8 * k for k in range(len(ribs))]
    return Landmarks(np.array(wing), np.array(lean), np.array(ribs), crest, False, None)


def test_the_count_follows_sacrum_and_ribs() -> None:
    assert [name_of(number) for number in (-1, 0, 1, 5, 6, 8)] == ["S2", "S1", "L5", "L1", "T12", "T10"]
    along = np.arange(8) * 32.0
    usual = landmarks_of([0, 0, 0, 0, 0, 0, 2, 2], [0.6, 0, 0, 0, 0, 0, 0, 0], crest=55.0)
    naming = name_vertebrae(usual, along)
    assert (naming.lowest, naming.lumbar) == (0, 5)
    assert naming.confidence > 0.9
    short = replace(usual, ribs=np.array([0, 0, 0, 0, 0, 0, 1.0, 2]))
    assert name_vertebrae(short, along).lowest == 0


@pytest.mark.parametrize(("last_rib", "lumbar"), [(5, 4), (7, 6)])
def test_transitional_anatomy_is_said_and_not_named(last_rib: int, lumbar: int) -> None:
    ribs = [0.0] * last_rib + [2.0] * (9 - last_rib)
    naming = name_vertebrae(landmarks_of(ribs, [0.6] + [0.0] * 8, crest=55.0), np.arange(9) * 32.0)
    assert naming.lumbar == lumbar
    assert naming.lowest is None
    assert naming.confidence <= 0.5
    assert "transitional" in naming.reason


def test_ribs_everywhere_or_nowhere_are_no_landmark() -> None:
    along = np.arange(4) * 30.0
    for ribs in ([2.0] * 4, [0.0] * 4, [NAN] * 4):
        naming = name_vertebrae(landmarks_of(ribs, [0.0] * 4), along)
        assert naming.lowest is None
        assert "cannot be counted" in naming.reason
