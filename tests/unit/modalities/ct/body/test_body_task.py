"""Areas, mean HU and volumes of shapes of known size, whichever way the planes lie."""

from __future__ import annotations

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.modalities.ct.body.volumes import (
    BODY,
    CAVITY,
    FAT,
    MUSCLE,
    WALL,
    NestedEngine,
    Run,
    area_cm2,
    make_volume,
)
from usassist.engine import find_engine
from usassist.errors import EngineSpecError, UsageError, VolumeError
from usassist.modalities.ct.body.levels import LevelPlanes, PlaneChoice, choose_planes, parse_levels
from usassist.modalities.ct.body.task import BodyTask, make_body_task
from usassist.volumes import Measurement, StudyAnswer, Volume

SPEC = find_engine("ct_bodycomp")


def _answer(volume: Volume, **options: object) -> StudyAnswer:
    task = make_body_task(SPEC).with_options(**({"level": "L3", "plane": 1} | options))
    return task(volume, NestedEngine(), Run())


def _by_name(answer: StudyAnswer) -> dict[str, Measurement]:
    return {item.name: item for item in answer.measurements}


@pytest.mark.parametrize("spacing_mm", [0.8, 1.0])
def test_areas_of_ellipses_and_their_mean_hu_are_exact(spacing_mm: float) -> None:
    shape = (round(280 / spacing_mm), round(360 / spacing_mm))
    found = _by_name(_answer(make_volume(spacing_mm=spacing_mm, shape_yx=shape)))
    assert found["skeletal_muscle_area_l3"].value == pytest.approx(area_cm2(WALL, CAVITY), rel=0.01)
    assert found["subcutaneous_fat_area_l3"].value == pytest.approx(area_cm2(BODY, WALL), rel=0.01)
    assert found["visceral_fat_area_l3"].value == pytest.approx(area_cm2(CAVITY, (18.0, 14.0)), rel=0.01)
    assert found["body_area_l3"].value == pytest.approx(area_cm2(BODY), rel=0.01)
    assert found["skeletal_muscle_mean_l3"].value == MUSCLE
    assert found["visceral_fat_mean_l3"].value == FAT
    assert found["skeletal_muscle_area_l3"].u95 is None
    assert "phantom" in found["skeletal_muscle_area_l3"].reason


def test_only_the_planes_that_were_asked_for_are_outlined() -> None:
    labelmap = _answer(make_volume()).labelmap
    assert labelmap is not None
    assert [bool(plane.any()) for plane in labelmap] == [False, True, False]


def test_the_muscle_index_needs_a_height() -> None:
    found = _by_name(_answer(make_volume(), height_m=1.6))
    area = found["skeletal_muscle_area_l3"].value
    assert area is not None
    assert found["skeletal_muscle_index_l3"].value == pytest.approx(area / 1.6**2)
    assert "skeletal_muscle_index_l3" not in _by_name(_answer(make_volume()))


def test_uncertainty_of_an_area_counts_lengths_twice() -> None:
    spec = dataclasses.replace(SPEC, diameter_rel_sd=0.03)
    task = BodyTask(spec).with_options(level="L3", plane=1)
    found = _by_name(task(make_volume(spacing_rel_sd=0.004), NestedEngine(), Run()))
    item = found["skeletal_muscle_area_l3"]
    assert item.value is not None
    assert item.u95 == pytest.approx(2 * 2 * np.hypot(0.03, 0.004) * item.value)


@pytest.mark.parametrize("turn", ["transposed", "mirrored", "upside_down"])
def test_planes_are_turned_for_the_engine_and_labels_back(turn: str) -> None:
    volume = make_volume()
    voxels, affine = np.asarray(volume.voxels), np.array(volume.affine_ijk_to_lps_mm)
    if turn == "transposed":
        voxels, affine = voxels.transpose(0, 2, 1), affine[:, [1, 0, 2, 3]]
    elif turn == "mirrored":
        voxels = voxels[:, :, ::-1]
        affine[:, 3] += affine[:, 0] * (voxels.shape[2] - 1)
        affine[:, 0] *= -1
    else:
        voxels = voxels[:, ::-1]
        affine[:, 3] += affine[:, 1] * (voxels.shape[1] - 1)
        affine[:, 1] *= -1
    other = dataclasses.replace(volume, voxels=voxels, affine_ijk_to_lps_mm=affine)
    first, second = _answer(volume), _answer(other)
    assert second.labelmap is not None
    assert second.labelmap.shape == voxels.shape
    assert _by_name(second)["skeletal_muscle_area_l3"].value == pytest.approx(
        _by_name(first)["skeletal_muscle_area_l3"].value, rel=1e-3
    )
    muscle = voxels[1][second.labelmap[1] == 1]
    assert (muscle == MUSCLE).all()


def test_volumes_over_levels_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {
        "L2": LevelPlanes(plane=3, first=2, stop=5, confidence=0.9, reason="r"),
        "L3": LevelPlanes(plane=1, first=0, stop=2, confidence=0.8, reason="r"),
    }
    monkeypatch.setattr(
        "usassist.modalities.ct.body.task.choose_planes",
        lambda *_: PlaneChoice(levels=levels, first=0, stop=5),
    )
    cut = dataclasses.replace(whole := make_volume(planes=6), voxels=np.array(whole.voxels)[:, :, :300])
    assert "lower bound" in _by_name(_answer(cut, level="L2..L3", plane=None))["skeletal_muscle_volume"].reason
    found = _by_name(_answer(whole, level="L2..L3", plane=None))
    assert "lower bound" not in found["skeletal_muscle_volume"].reason
    assert found["skeletal_muscle_volume"].value == pytest.approx(area_cm2(WALL, CAVITY) * 5 * 0.5, rel=0.01)
    assert {"skeletal_muscle_area_l2", "skeletal_muscle_area_l3"} <= set(found)


def test_a_body_at_the_edge_gives_lower_bounds() -> None:
    whole = make_volume()
    cut = np.array(whole.voxels)[:, :, :300]
    found = _by_name(_answer(dataclasses.replace(whole, voxels=cut)))
    assert "lower bound" in found["subcutaneous_fat_area_l3"].reason


def test_what_is_not_transverse_ct_in_hu_is_refused() -> None:
    volume = make_volume()
    with pytest.raises(VolumeError, match="HU"):
        _answer(dataclasses.replace(volume, unit="1"))
    sagittal = np.array(volume.affine_ijk_to_lps_mm)[:, [1, 2, 0, 3]]
    with pytest.raises(VolumeError, match="transverse"):
        _answer(dataclasses.replace(volume, affine_ijk_to_lps_mm=np.ascontiguousarray(sagittal)))
    with pytest.raises(VolumeError, match="no body"):
        _answer(dataclasses.replace(volume, voxels=np.full_like(volume.voxels, -1000)))


def test_spacing_that_is_not_known_is_said() -> None:
    found = _by_name(_answer(make_volume(spacing_is_known=False)))
    assert "spacing" in found["skeletal_muscle_area_l3"].reason
    assert "assumed" in found["skeletal_muscle_area_l3"].reason


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("l3", ("L3",)),
        ("T12..L2", ("T12", "L1", "L2")),
        ("all", ("T12", "L1", "L2", "L3", "L4", "L5")),
    ],
)
def test_levels_are_parsed(text: str, levels: tuple[str, ...]) -> None:
    assert parse_levels(text) == levels


@pytest.mark.parametrize("text", ["", "L6", "L4..L2", "T11", "L3,L4"])
def test_levels_that_do_not_exist_are_wrong_use(text: str) -> None:
    with pytest.raises(UsageError, match="no level"):
        parse_levels(text)


def test_a_plane_that_is_named_belongs_to_one_level_and_the_volume() -> None:
    volume = make_volume()
    with pytest.raises(UsageError, match="one level"):
        choose_planes(volume, ("L3", "L4"), 1)
    with pytest.raises(UsageError, match="no slice 4"):
        choose_planes(volume, ("L3",), 3)
    single = choose_planes(make_volume(planes=1), ("L4",))
    assert single.levels["L4"].plane == 0
    assert single.levels["L4"].confidence is None


def test_options_are_checked() -> None:
    task = make_body_task(SPEC)
    with pytest.raises(UsageError, match="height"):
        task.with_options(height_m=175.0)
    with pytest.raises(UsageError, match="no option"):
        task.with_options(weight=3)
    with pytest.raises(EngineSpecError, match="ct_bodycomp"):
        make_body_task(dataclasses.replace(SPEC, labels=SPEC.labels[:3]))


class _Found:
    """Vertebrae as ``usassist.modalities.ct.spine`` gives them."""

    reason = "counted from the sacrum"

    def __init__(self, **planes: tuple[int | None, tuple[int, int] | None]) -> None:
        self._planes = planes

    def vertebra(self, level: str) -> SimpleNamespace:
        """Of that name."""
        if level not in self._planes:
            raise VolumeError(f"{level} is not in the volume")
        plane, planes = self._planes[level]
        return SimpleNamespace(plane=plane, planes=planes, confidence=0.9, reason="")


def test_levels_that_are_found_give_the_planes_and_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _Found(L2=(4, (3, 5)), L3=(2, (1, 2)), L4=(None, None))
    monkeypatch.setitem(sys.modules, "usassist.modalities.ct.spine", SimpleNamespace(find_levels=lambda _: found))
    choice = choose_planes(make_volume(planes=6), ("L1", "L2", "L3", "L4"))
    assert list(choice.levels) == ["L2", "L3"]
    assert (choice.first, choice.stop) == (1, 6)
    level = choice.levels["L3"]
    assert (level.plane, level.first, level.stop, level.confidence) == (2, 1, 3, 0.9)
    assert level.reason == "counted from the sacrum"
    assert choice.missing == {"L1": "L1 is not in the volume", "L4": "the middle of its body is not in this series"}
    with pytest.raises(VolumeError, match=r"L5 is not in the volume.*--slice"):
        choose_planes(make_volume(planes=6), ("L5",))
