"""NIfTI in and out, with nibabel as the judge of where voxels lie."""

from __future__ import annotations

import gzip
import itertools
import struct
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from usassist.errors import UsageError
from usassist.sources.volumes import list_series, read_labelmap, read_volume, write_nifti

HU = np.random.default_rng(7).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_every_orientation_is_turned_to_left_back_and_head_without_moving_a_voxel(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """Each voxel is found again at the place that nibabel gives for it."""
    ras = np.eye(4)
    ras[:3, :3] = (np.eye(3) * signs)[:, list(axes)] * (0.5, 0.75, 3.0)
    ras[:3, :3] += np.array([[0, 0.02, 0], [0, 0, 0.05], [0.01, 0, 0]])  # a little oblique
    ras[:3, 3] = (11.0, -7.0, 30.0)
    data = HU.transpose(2, 1, 0)
    nib.save(nib.Nifti1Image(data, ras), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii", session_id="s", modality="CT").volume
    ijk = np.stack(np.indices(data.shape), axis=-1).reshape(-1, 3)
    lps = nib.affines.apply_affine(LPS @ nib.load(tmp_path / "a.nii").affine, ijk)
    back = np.rint(nib.affines.apply_affine(np.linalg.inv(volume.affine_ijk_to_lps_mm), lps)).astype(int)
    assert (volume.voxels[back[:, 2], back[:, 1], back[:, 0]] == data.reshape(-1)).all()
    assert (np.diag(volume.affine_ijk_to_lps_mm)[:3] > 0).all()


def test_what_is_written_has_its_voxels_where_they_were(tmp_path: Path) -> None:
    affine = np.array([[0.5, 0, 0, -20], [0, 0.6, 0.3, -40], [0, -0.1, 2.0, 7], [0, 0, 0, 1]])
    for name, array in (("a.nii.gz", HU), ("b.nii", HU > 0), ("c.nii.gz", HU.astype(np.float32) / 3)):
        write_nifti(tmp_path / name, array, affine)
        image = nib.load(tmp_path / name)
        assert (np.asarray(image.dataobj) == array.transpose(2, 1, 0)).all()
        assert image.affine == pytest.approx(LPS @ affine, abs=1e-6)
        assert image.header.get_xyzt_units()[0] == "mm"
    labels, found = read_labelmap(tmp_path / "b.nii")
    assert (labels == (HU > 0)).all()
    assert labels.dtype == np.uint8
    assert found == pytest.approx(affine, abs=1e-6)
    before = (tmp_path / "a.nii.gz").read_bytes()
    write_nifti(tmp_path / "a.nii.gz", HU, affine)
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii", "c.nii.gz"]


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (2.0, -1024.0), (0.5, 3.0)])
def test_scaled_values_are_rounded_to_whole_hu(tmp_path: Path, slope: float, intercept: float) -> None:
    image = nib.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    nib.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2f", data, 112, slope, intercept)
    data[352:] = HU.transpose(2, 1, 0).tobytes("F")
    (tmp_path / "a.nii").write_bytes(bytes(data))
    volume = read_volume(tmp_path / "a.nii", session_id="s", modality="CT").volume
    expected = np.clip(np.rint(HU * slope + intercept), -1024, None)[:, ::-1, ::-1]
    assert (volume.voxels == expected).all()
    other = read_volume(tmp_path / "a.nii", session_id="s", modality="MR").volume
    assert other.unit == "1"
    assert other.voxels.dtype == (np.int16 if slope == 1.0 else np.float32)
    assert (other.voxels == (HU * slope + intercept)[:, ::-1, ::-1]).all()


def test_a_file_says_not_what_it_holds_so_its_values_are_looked_at(tmp_path: Path) -> None:
    for name, array in (("ct", HU), ("mr", HU + 1000), ("mask", HU > 0)):
        write_nifti(tmp_path / f"{name}.nii.gz", np.asarray(array), np.eye(4) * (1, 1, 2, 1))
    found = {facts.modality for facts in list_series(tmp_path)}
    assert found == {"CT", "OT"}
    assert [facts.unit for facts in list_series(tmp_path / "ct.nii.gz")] == ["HU"]
    assert [facts.unit for facts in list_series(tmp_path / "mr.nii.gz")] == ["1"]


def test_a_file_without_a_grid_is_read_and_says_so(tmp_path: Path) -> None:
    for name, image in (
        ("identity", nib.Nifti1Image(HU.transpose(2, 1, 0), np.eye(4))),
        ("none", nib.Nifti1Image(HU.transpose(2, 1, 0), None)),
        ("flat", nib.Nifti1Image(HU[0].T, None)),
    ):
        nib.save(image, tmp_path / f"{name}.nii")
        facts = read_volume(tmp_path / f"{name}.nii", session_id="s").facts
        assert not facts.spacing_is_known
        assert "states no grid" in facts.problems[0]
        assert facts.shape_zyx == ((1, 5, 6) if name == "flat" else (4, 5, 6))


def test_units_of_length_are_those_of_the_file(tmp_path: Path) -> None:
    image = nib.Nifti1Image(HU.transpose(2, 1, 0), np.diag([0.001, 0.001, 0.002, 1.0]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii", session_id="s").volume.spacing_zyx_mm == pytest.approx((2.0, 1.0, 1.0))


def test_a_trailing_axis_of_one_is_none(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(HU.transpose(2, 1, 0)[..., None], np.diag([-1.0, -1.0, 2.0, 1.0])), tmp_path / "a.nii.gz")
    assert (read_volume(tmp_path / "a.nii.gz", session_id="s").volume.voxels == HU).all()


def test_the_id_is_that_of_the_bytes_whatever_the_name(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", HU, np.diag([1.0, 1.0, 2.0, 1.0]))
    (tmp_path / "b.nii").write_bytes((tmp_path / "a.nii").read_bytes())
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    first, same, other = (facts.series_id for facts in list_series(tmp_path))
    assert first == same != other
    assert len(first) == 12


def test_without_nibabel_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nifti(tmp_path / "a.nii", HU, np.eye(4))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    calls: list[Any] = [
        lambda: read_volume(tmp_path / "a.nii", session_id="s"),
        lambda: write_nifti(tmp_path / "b.nii", HU, np.eye(4)),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"pip install 'usassist\[volumes\]'"):
            call()
