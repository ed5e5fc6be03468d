"""Files of scanners, where the data folder is there. Other programs say what is right: pydicom and nibabel."""

from __future__ import annotations

import hashlib
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


def test_values_of_lossless_jpeg_are_those_of_gdcm() -> None:
    """GDCM (SimpleITK 2.5) gave this sum of the HU; it is not installed here."""
    study = read_volume(folder("dicom_ct_mr") / "bad_sequence.dcm", session_id="s")
    found = hashlib.sha256(study.volume.voxels.astype("<i2").tobytes()).hexdigest()
    assert found == "64fc7fcabe2177270ab4a6ee4a0ac9703e0309dab59c1d6375e4a8490dc442dd"


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
