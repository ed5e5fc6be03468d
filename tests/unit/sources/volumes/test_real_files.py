"""Files of scanners, where the data folder is there. Other programs say what is right: pydicom and nibabel."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from usassist.errors import SourceFormatError
from usassist.sources.volumes import list_series, read_volume


def folder(name: str) -> Path:
    path = Path(os.environ.get("USASSIST_DATA", "")) / name
    if "USASSIST_DATA" not in os.environ or not path.is_dir():
        pytest.skip(f"USASSIST_DATA does not name a folder with {name}")
    return path


@pytest.mark.parametrize("name", ["CT1_J2KR", "MR1_J2KR", "MR3_J2KR", "MR4_J2KR", "explicit_VR-UN"])
def test_values_are_those_that_pydicom_reads(name: str) -> None:
    path = folder("dicom_ct_mr") / f"{name}.dcm"
    study = read_volume(path, session_id="s")
    dataset = dcmread(path)
    expected = dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    if study.volume.unit == "HU":
        expected = np.maximum(expected, -1024)
    found = study.turn.undo(study.volume.voxels[0])
    assert np.allclose(found, expected, rtol=1e-6, atol=0)


def test_values_of_lossless_jpeg_are_plausible() -> None:
    """No other free decoder for it is installed here; that it is decoded exactly is tested with made images."""
    study = read_volume(folder("dicom_ct_mr") / "bad_sequence.dcm", session_id="s")
    values, counts = np.unique(study.volume.voxels, return_counts=True)
    assert values[0] >= -1024
    assert 0 <= values[counts[values > -200].argmax() + (values <= -200).sum()] <= 120  # soft tissue is most frequent
    assert np.abs(np.diff(study.volume.voxels[0].astype(int), axis=0)).mean() < 40  # no row is shifted


def test_broken_files_are_refused_with_the_reason() -> None:
    reasons = {"CT2_J2KR": "breaks off inside its pixels", "emri_small": "10 frames without their positions"}
    for name, reason in reasons.items():
        with pytest.raises(SourceFormatError, match=reason):
            read_volume(folder("dicom_ct_mr") / f"{name}.dcm", session_id="s")


def test_single_slices_in_one_folder_are_listed_one_by_one() -> None:
    found = list_series(folder("dicom_ct_mr"))
    assert len(found) == 8
    assert sorted(facts.modality for facts in found) == ["CT"] * 4 + ["MR"] * 4


@pytest.mark.parametrize(
    "name",
    ["ct_body_totalsegmentator/example_ct.nii.gz", "ct_head_template/scct_stripped_hu.nii.gz"],
)
def test_nifti_lies_where_nibabel_says(name: str) -> None:
    path = folder(name.split("/")[0]) / name.split("/")[1]
    volume = read_volume(path, session_id="s").volume
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    rng = np.random.default_rng(3)
    ijk = np.stack([rng.integers(0, length, 500) for length in data.shape], axis=1)
    lps = nib.affines.apply_affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine, ijk)
    at = np.rint(nib.affines.apply_affine(np.linalg.inv(volume.affine_ijk_to_lps_mm), lps)).astype(int)
    assert (volume.voxels[at[:, 2], at[:, 1], at[:, 0]] == np.maximum(data[tuple(ijk.T)], -1024)).all()
