"""Where voxels lie. Every series is made here, with truth by construction."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ct_series import ellipsoid, make_enhanced, make_series
from usassist.errors import SourceFormatError, UsageError
from usassist.sources.volumes import StudyInput, list_series, read_volume, write_nifti
from usassist.volumes import Volume

HU = np.random.default_rng(4).integers(-1000, 2000, (6, 12, 15))


def read(path: Path, **options: Any) -> StudyInput:
    return read_volume(path, session_id="s", **options)


def volume_ml(volume: Volume) -> float:
    return float((volume.voxels > 0).sum()) * volume.voxel_volume_mm3 / 1000


def place(volume: Volume, k: int, j: int, i: int) -> Any:
    return (volume.affine_ijk_to_lps_mm @ (i, j, k, 1))[:3]


def test_planes_are_sorted_by_where_they_lie_and_not_by_name_or_number(tmp_path: Path) -> None:
    paths = make_series(tmp_path, HU, spacing_zyx_mm=(2.5, 0.7, 0.4), origin_mm=(-20.0, -30.0, 40.0))
    found = read(tmp_path)
    assert (found.volume.voxels == HU).all()
    assert found.volume.voxels.dtype == np.int16
    assert found.volume.spacing_zyx_mm == pytest.approx((2.5, 0.7, 0.4), rel=1e-9)
    assert place(found.volume, 5, 11, 14) == pytest.approx((-20 + 14 * 0.4, -30 + 11 * 0.7, 40 + 5 * 2.5), rel=1e-9)
    assert [ref.file for ref in found.slices] == [str(path) for path in paths]
    assert [int(header.InstanceNumber) for header in found.dicom_files()] == [1, 2, 3, 4, 5, 6]
    assert found.facts.problems == ()


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        ((1, 0, 0, 0, 1, 0), lambda hu: hu),
        ((-1, 0, 0, 0, -1, 0), lambda hu: hu[:, ::-1, ::-1]),  # prone
        ((1, 0, 0, 0, -1, 0), lambda hu: hu[::-1, ::-1]),  # feet first, planes to the feet
        ((0, 1, 0, 1, 0, 0), lambda hu: hu.swapaxes(1, 2)[::-1]),
        ((0, 1, 0, -1, 0, 0), lambda hu: hu.swapaxes(1, 2)[:, :, ::-1]),
    ],
)
def test_axial_planes_lie_with_front_up_and_left_to_the_right_however_they_are_stored(
    tmp_path: Path, orientation: tuple[float, ...], stored: Any
) -> None:
    make_series(tmp_path, HU, orientation=orientation, spacing_zyx_mm=(2.0, 1.0, 1.0))
    found = read(tmp_path)
    assert (found.volume.voxels == stored(HU)).all()
    assert np.diag(found.volume.affine_ijk_to_lps_mm)[:3] == pytest.approx((1.0, 1.0, 2.0))
    planes = HU if found.slices[0].file.endswith(_name_of_first(tmp_path, found)) else HU[::-1]
    assert (found.turn.undo(found.volume.voxels) == planes).all()
    assert (found.turn.apply(planes) == found.volume.voxels).all()
    # a voxel is where its own image says
    header = next(iter(found.dicom_files()))
    corner = found.turn.undo(_places(found.volume)[0])[:, 0, 0]
    assert corner == pytest.approx([float(value) for value in header.ImagePositionPatient])


def _name_of_first(folder: Path, found: StudyInput) -> str:
    first = next(iter(found.dicom_files()))
    return Path(found.slices[0].file).name if int(first.InstanceNumber) == 1 else "none"


def _places(volume: Volume) -> Any:
    """LPS mm of every voxel, (Z, 3, Y, X)."""
    k, j, i = np.indices(volume.shape_zyx)
    return np.einsum("ab,bzyx->zayx", volume.affine_ijk_to_lps_mm[:3], np.stack([i, j, k, np.ones_like(i)]))


@pytest.mark.parametrize("tilt_deg", [0.0, -18.0, 25.0])
@pytest.mark.parametrize("how", ["series", "frames", "nifti"])
def test_volume_of_an_ellipsoid_is_exact_also_with_a_tilted_gantry(tmp_path: Path, tilt_deg: float, how: str) -> None:
    spacing, shape, origin = (2.0, 0.9, 0.9), (40, 90, 90), (-40.0, -40.0, -40.0)
    angle = math.radians(tilt_deg)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 2], affine[:3, 3] = (0.9, 0, 0), (0, 0, 2.0), origin
    affine[:3, 1] = (0, 0.9 * math.cos(angle), 0.9 * math.sin(angle))
    centre = affine[:3] @ (44.5, 44.5, 19.5, 1.0)
    radii = (30.0, 24.0, 20.0)
    hu = ellipsoid(shape, affine, centre, radii)
    if how == "series":
        make_series(tmp_path / "in", hu, spacing_zyx_mm=spacing, origin_mm=origin, tilt_deg=tilt_deg)
        found = read(tmp_path / "in")
        assert abs(found.facts.tilt_deg - abs(tilt_deg)) < 0.01
        assert any("tilted" in problem for problem in found.facts.problems) == bool(tilt_deg)
    elif how == "frames":
        found = read(make_enhanced(tmp_path / "a.dcm", hu, spacing_zyx_mm=spacing, origin_mm=origin, tilt_deg=tilt_deg))
    else:
        write_nifti(tmp_path / "a.nii.gz", hu, affine)
        found = read(tmp_path / "a.nii.gz")
    assert (found.volume.voxels == hu).all()
    assert found.volume.affine_ijk_to_lps_mm == pytest.approx(affine, abs=1e-5)
    assert found.volume.voxel_volume_mm3 == pytest.approx(2.0 * 0.9 * 0.9 * math.cos(angle), rel=1e-6)
    assert volume_ml(found.volume) == pytest.approx(4 / 3 * math.pi * 30 * 24 * 20 / 1000, rel=0.01)


def test_frames_of_one_file_are_sorted_too(tmp_path: Path) -> None:
    order = [3, 1, 0, 2, 5, 4]
    found = read(make_enhanced(tmp_path / "a.dcm", HU, order=order))
    assert (found.volume.voxels == HU).all()
    assert [order[ref.frame_number - 1] for ref in found.slices] == list(range(6))


def test_missing_planes_are_refused_with_their_place(tmp_path: Path) -> None:
    make_series(tmp_path, HU, without=[2, 3])
    with pytest.raises(SourceFormatError, match=r"lacks 2 planes, the first after plane 2 of 4; export"):
        read(tmp_path)
    assert "lacks 2 planes" in list_series(tmp_path)[0].unreadable


def test_planes_that_are_missing_at_an_end_are_told_where_the_header_counts_them(tmp_path: Path) -> None:
    make_series(tmp_path, HU, without=[4, 5], tags={"ImagesInAcquisition": 6})
    assert "the header states 6 images, and 4 are here" in list_series(tmp_path)[0].problems


def test_two_images_at_one_place_are_refused_and_copies_of_one_are_not(tmp_path: Path) -> None:
    make_series(tmp_path / "a", HU, twice=[1])
    with pytest.raises(SourceFormatError, match="1 place with more than one image"):
        read(tmp_path / "a")
    paths = make_series(tmp_path / "b", HU)
    (tmp_path / "b" / "copy").write_bytes(paths[2].read_bytes())
    found = read(tmp_path / "b")
    assert (found.volume.voxels == HU).all()
    assert "there twice, as the same image" in found.facts.problems[0]


def test_uneven_planes_are_refused_and_rounded_positions_are_not(tmp_path: Path) -> None:
    make_series(tmp_path / "a", HU[:4], spacing_zyx_mm=(2.0, 1, 1), series_uid="1.2.3")
    make_series(
        tmp_path / "a",
        HU[4:],
        spacing_zyx_mm=(3.1, 1, 1),
        origin_mm=(-20, -30, 48.0),
        series_uid="1.2.3",
        first_name=100,
    )
    assert len(list((tmp_path / "a").iterdir())) == 6
    with pytest.raises(SourceFormatError, match=r"not evenly spaced \(2 to 3.1 mm\)"):
        read(tmp_path / "a")
    for k in range(6):
        z = round(0.625 * k, 1)  # as some scanners write it
        make_series(tmp_path / "b", HU[k : k + 1], origin_mm=(0, 0, z), series_uid="1.2.4", seed=k)
        for path in (tmp_path / "b").glob("IM*"):
            path.rename(tmp_path / "b" / f"plane{k}")
    (facts,) = list_series(tmp_path / "b")
    assert facts.spacing_zyx_mm[0] == pytest.approx(0.62, abs=0.01)


@pytest.mark.parametrize("upper_mm", [4.0, 5.0])
def test_blocks_of_two_spacings_are_two_stacks(tmp_path: Path, upper_mm: float) -> None:
    """As heads were scanned plane by plane: thin ones at the base of the skull, thick ones above."""
    lower, upper = np.repeat(HU, 2, axis=0)[:7], np.repeat(HU, 2, axis=0)[:9] + 7
    make_series(tmp_path, lower, spacing_zyx_mm=(2.0, 1, 1), origin_mm=(0, 0, 0), series_uid="1.2.3")
    start = 6 * 2.0 + upper_mm
    make_series(
        tmp_path,
        upper,
        spacing_zyx_mm=(upper_mm, 1, 1),
        origin_mm=(0, 0, start),
        series_uid="1.2.3",
        seed=2,
        first_name=100,
    )
    found = list_series(tmp_path)
    assert [facts.spacing_zyx_mm[0] for facts in found] == [2.0, upper_mm]
    assert (read(tmp_path, series=1).volume.voxels == lower).all()
    second = read(tmp_path, series=2)
    assert (second.volume.voxels == upper).all()
    assert place(second.volume, 0, 0, 0)[2] == start


def test_what_lies_between_thin_planes_far_apart_is_told(tmp_path: Path) -> None:
    make_series(tmp_path, HU, spacing_zyx_mm=(5.0, 1, 1), tags={"SliceThickness": "1"})
    assert list_series(tmp_path)[0].problems == ("planes of 1 mm lie 5 mm apart: what is between was not imaged",)


def test_stacks_of_one_series_are_separated(tmp_path: Path) -> None:
    """Other sizes, other directions, and two times at the same places."""
    uid = "1.2.3.4"
    make_series(tmp_path / "a", HU, series_uid=uid)
    make_series(tmp_path / "b", HU[:, :10], series_uid=uid)
    make_series(tmp_path / "c", HU, series_uid=uid, orientation=(0, 1, 0, 0, 0, -1))
    found = list_series(tmp_path)
    assert [facts.shape_zyx for facts in found] == [(6, 12, 15), (6, 10, 15), (6, 12, 15)]
    assert len({facts.series_id for facts in found}) == 3
    assert all("its series holds 3 stacks" in facts.problems[0] for facts in found)
    make_series(tmp_path / "d", HU, series_uid="1.2.5", tags={"AcquisitionNumber": 1})
    make_series(tmp_path / "d2", HU + 1, series_uid="1.2.5", tags={"AcquisitionNumber": 2})
    times = [facts for facts in list_series(tmp_path) if facts.number > 3]
    assert [facts.unreadable for facts in times] == ["", ""]
    assert (read(tmp_path, series=5).volume.voxels == HU + 1).all()


def test_one_series_of_several_is_asked_for_and_a_localizer_never_is(tmp_path: Path) -> None:
    make_series(tmp_path / "a", HU)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    make_series(tmp_path / "b", HU[:1], orientation=(0, 1, 0, 0, 0, -1), tags=scout)
    assert (read(tmp_path).volume.voxels == HU).all()
    make_series(tmp_path / "c", HU + 5, tags={"ConvolutionKernel": "B70s", "SeriesDescription": "HEAD BONE Doe"})
    with pytest.raises(
        UsageError, match=r"2 series to choose from; give one with --series: .*3 \(CT 15x12x6 bone head B70s\)"
    ):
        read(tmp_path)
    bone = list_series(tmp_path)[2]
    for name in (3, "3", bone.series_id):
        assert (read(tmp_path, series=name).volume.voxels == HU + 5).all()
    with pytest.raises(UsageError, match="there is no series 9; 1 "):
        read(tmp_path, series=9)


def test_a_series_that_is_not_wanted_is_not_chosen_from(tmp_path: Path) -> None:
    make_series(tmp_path / "a", HU, tags={"ConvolutionKernel": "H31s"})
    make_series(tmp_path / "b", HU + 5, tags={"ConvolutionKernel": "H60s"})
    found = read(tmp_path, unfit=lambda facts: "is sharp" if facts.kernel == "H60s" else "")
    assert (found.volume.voxels == HU).all()
    assert (read(tmp_path, series=2, unfit=lambda facts: "is sharp").volume.voxels == HU + 5).all()
    with pytest.raises(SourceFormatError, match="none of the 2 series is what is needed: 1 is sharp; 2 is sharp"):
        read(tmp_path, unfit=lambda facts: "is sharp")


def test_one_plane_is_a_volume_as_thick_as_it_states(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path, HU[:1], spacing_zyx_mm=(5.0, 1, 1))
    assert read(path).volume.spacing_zyx_mm == (5.0, 1.0, 1.0)
    (path,) = make_series(tmp_path / "b", HU[:1], tags={"SliceThickness": None})
    facts = read(path).facts
    assert not facts.spacing_is_known
    assert facts.problems == ("it is one plane without a thickness; 1 mm is taken",)


def test_voxels_lie_in_a_file_without_a_name(tmp_path: Path) -> None:
    make_series(tmp_path / "in", HU)
    (tmp_path / "room").mkdir()
    shares: list[float] = []
    found = read(tmp_path / "in", scratch=tmp_path / "room", progress=shares.append)
    assert list((tmp_path / "room").iterdir()) == []
    assert isinstance(found.volume.voxels.base, np.memmap)
    assert (found.volume.voxels == HU).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
