"""Input that cannot be read: one line that says why, before memory is taken, and nothing of the patient in it."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from tests.ct_series import make_enhanced, make_series
from usassist.errors import SourceError, SourceFormatError, UsageError, UsAssistError
from usassist.sources.volumes import list_series, read_labelmap, read_volume, write_nifti

HU = np.random.default_rng(6).integers(-1000, 2000, (4, 10, 12))


def refused(path: Path, reason: str, error: type[UsAssistError] = SourceFormatError, **options: Any) -> None:
    with pytest.raises(error, match=reason) as caught:
        read_volume(path, session_id="s", **options)
    text = str(caught.value)
    assert "\n" not in text
    assert "Doe" not in text
    assert "4711" not in text


def test_no_input(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "does not exist", UsageError)
    refused(tmp_path, "holds no files")
    (tmp_path / "a.txt").write_text("DICM is not what this is")
    (tmp_path / ".hidden").write_bytes(b"x")
    refused(tmp_path, "no images of CT or MR")
    refused(tmp_path / "a.txt", "no images of CT or MR")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Rows": 50000, "Columns": 50000}, "states an image of 50000 x 50000 px, which no scanner makes"),
        ({"Rows": 0}, "states an image of 12 x 0 px"),
        ({"PixelSpacing": ["0", "0"]}, "no spacing of its pixels"),
        ({"PixelSpacing": None}, "no spacing of its pixels"),
        ({"PixelSpacing": ["-1", "1"]}, "no spacing of its pixels"),
        ({"ImagePositionPatient": None}, "no position or no direction"),
        ({"ImageOrientationPatient": None}, "no position or no direction"),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "not perpendicular"),
        ({"ImageOrientationPatient": ["0", "0", "0", "0", "0", "0"]}, "not perpendicular"),
        ({"Modality": "US"}, r"another modality \(US\), not CT or MR"),
        ({"Modality": "DOE 1"}, "another modality"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 of 32 bits a voxel"),
        ({"BitsStored": 17}, "17 of 16 bits"),
        ({"SamplesPerPixel": 3}, "colour pictures"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette or in colour"),
        ({"PixelData": None}, "holds no pixel data"),
    ],
)
def test_headers_that_make_no_volume(tmp_path: Path, tags: dict[str, Any], reason: str) -> None:
    make_series(tmp_path, HU, tags=tags)
    refused(tmp_path, reason)
    (facts,) = list_series(tmp_path)
    assert facts.unreadable
    assert "DOE" not in facts.unreadable


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_a_series_whose_last_file_breaks_off(tmp_path: Path, syntax: Any) -> None:
    paths = make_series(tmp_path, HU, **({} if syntax is None else {"syntax": syntax}))
    paths[-1].write_bytes(paths[-1].read_bytes()[:-60])
    refused(tmp_path, r"breaks off inside its pixels \(1 of 4 planes\)")


def test_a_file_that_breaks_off_in_its_header_is_told_beside_the_others(tmp_path: Path) -> None:
    paths = make_series(tmp_path, HU)
    paths[1].write_bytes(paths[1].read_bytes()[:700])
    (facts,) = [facts for facts in list_series(tmp_path) if facts.shape_zyx[0] > 1]
    assert "lacks 1 plane" in facts.unreadable or any("cannot be read" in problem for problem in facts.problems)
    refused(tmp_path, "lacks 1 plane|can be read", series=facts.number)


def test_pixels_that_are_damaged_or_of_another_size(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "a", HU, syntax=JPEG2000Lossless)
    data = bytearray(paths[2].read_bytes())
    at = bytes(data).rindex(b"\xff\x93") + 2
    data[at : at + 40] = bytes(40)
    start = bytes(data).index(b"\xff\x4f\xff\x51")
    data[start + 40 : start + 60] = b"\xff" * 20
    paths[2].write_bytes(bytes(data))
    refused(tmp_path / "a", "plane 3 of 4 holds")
    paths = make_series(tmp_path / "b", HU, syntax=JPEGLosslessSV1)
    for path in paths:  # a claim of 30000 x 30000 in the code stream alone
        data = path.read_bytes()
        sof = data.index(b"\xff\xc3")
        path.write_bytes(data[: sof + 5] + struct.pack(">HH", 30000, 30000) + data[sof + 9 :])
    tracemalloc.start()
    refused(tmp_path / "b", "holds an image of 30000 x 30000 px where its header states 12 x 10")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_frames_that_do_not_agree_with_their_number(tmp_path: Path) -> None:
    refused(
        make_enhanced(tmp_path / "a.dcm", HU, tags={"NumberOfFrames": 400000000}),
        "states 400000000 frames and describes 4",
    )
    refused(make_enhanced(tmp_path / "b.dcm", HU, tags={"PerFrameFunctionalGroupsSequence": []}), "4 frames without")


def test_several_damaged_series(tmp_path: Path) -> None:
    for name in "ab":
        make_series(tmp_path / name, HU, without=[1])
    refused(tmp_path, "none of the 2 series is what is needed: 1 lacks 1 plane, .*; 2 lacks 1 plane")


def zipped(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"study/{file.name}")
        archive.writestr("study/DICOMDIR", b"not read")
        archive.writestr("__MACOSX/study/._IM1", b"not read")
        archive.writestr("../../escaped", b"never unpacked to a path")
    return path


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    make_series(tmp_path / "in", HU)
    path = zipped(tmp_path / "a.zip", tmp_path / "in")
    before = set(tmp_path.rglob("*"))
    study = read_volume(path, session_id="s")
    assert (study.volume.voxels == HU).all()
    assert [int(header.InstanceNumber) for header in study.dicom_files()] == [1, 2, 3, 4]
    assert set(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent.parent / "escaped").exists()


def test_a_zip_that_is_damaged_locked_or_a_bomb(tmp_path: Path) -> None:
    make_series(tmp_path / "in", HU)
    path = zipped(tmp_path / "a.zip", tmp_path / "in")
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-30])
    refused(tmp_path / "cut.zip", "no images of CT or MR|damaged zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(30_000_000))
    tracemalloc.start()
    tracemalloc.reset_peak()
    refused(tmp_path / "bomb.zip", "unpacks to 28 MB, .* times its packed size")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    with zipfile.ZipFile(tmp_path / "nifti.zip", "w") as archive:
        archive.writestr("a.nii.gz", b"not read")
    refused(tmp_path / "nifti.zip", "not read from a zip; unpack it")
    data = bytearray(path.read_bytes())  # the flag of encryption in every header
    at = 0
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = 0
        while (at := bytes(data).find(mark, at)) >= 0:
            data[at + offset] |= 1
            at += 4
    (tmp_path / "locked.zip").write_bytes(bytes(data))
    refused(tmp_path / "locked.zip", "cannot be unpacked")


def test_no_room_for_the_voxels(tmp_path: Path) -> None:
    make_series(tmp_path / "in", HU)
    refused(tmp_path / "in", "no room for the voxels", SourceError, scratch=tmp_path / "gone")


def nifti(path: Path, change: Callable[[bytearray], None], voxels: Any = HU) -> Path:
    """A NIfTI file whose bytes are changed."""
    plain = path.with_suffix(".nii")
    write_nifti(plain, np.asarray(voxels, np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    data = bytearray(plain.read_bytes())
    change(data)
    plain.unlink()
    path.write_bytes(gzip.compress(bytes(data)) if path.name.endswith(".gz") else bytes(data))
    return path


def put(offset: int, kind: str, *values: Any) -> Callable[[bytearray], None]:
    """Write into the header of NIfTI-1: dim at 40, datatype at 70, pixdim at 76, scl_slope at 112, sform at 280."""

    def change(data: bytearray) -> None:
        struct.pack_into(f"<{len(values)}{kind}", data, offset, *values)

    return change


def cut(data: bytearray) -> None:
    del data[-200:]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (cut, "breaks off, or is damaged|no NIfTI file"),
        (put(40, "h", 4, 12, 10, 2, 2), "4 dimensions, not one volume"),
        (put(40, "h", 3, 32000, 32000, 4), "states 32000 x 32000 x 4 voxels"),
        (put(40, "h", 3, 4000, 4000, 60), "breaks off, or is damaged"),
        (put(40, "h", 3, 12, -10, 4), "no NIfTI file|voxels, which no scanner makes"),
        (put(280, "f", *[float("nan")] * 12), "grid whose voxels have no volume|spacing"),
        (put(70, "h", 128), "colours or complex numbers|breaks off|no NIfTI"),
        (put(70, "h", 9999), "no NIfTI file"),
    ],
)
def test_nifti_files_that_are_damaged(
    tmp_path: Path, ending: str, change: Callable[[bytearray], None], reason: str
) -> None:
    refused(nifti(tmp_path / f"a{ending}", change), reason)


def test_nifti_values_that_are_no_hu(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", put(112, "f", 1e30, 0.0))
    refused(path, "values above 32767 HU", modality="CT")
    voxels = np.asarray(HU, np.float32)
    voxels[0, 0, 0] = np.nan
    write_nifti(tmp_path / "b.nii", voxels, np.eye(4))
    refused(tmp_path / "b.nii", "voxels that are not finite")


def test_labels_that_are_none(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", np.asarray(HU, np.int16), np.eye(4))
    with pytest.raises(SourceFormatError, match="no labels"):
        read_labelmap(tmp_path / "a.nii")
    with pytest.raises(UsageError, match="does not exist"):
        read_labelmap(tmp_path / "b.nii")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(UsageError, match="no name of a NIfTI file"):
        write_nifti(tmp_path / "a.png", labels, np.eye(4))
    with pytest.raises(SourceError, match="cannot be written"):
        write_nifti(tmp_path / "gone" / "a.nii.gz", labels, np.eye(4))
    with pytest.raises(UsageError, match="shape"):
        write_nifti(tmp_path / "a.nii", labels[0], np.eye(4))
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_patient_is_in_what_is_told(tmp_path: Path) -> None:
    secret = "Doe Jane 4711"
    tags = {"SeriesDescription": f"{secret} HEAD", "BodyPartExamined": "DOE", "ConvolutionKernel": f"K {secret}"}
    tags |= {"ProtocolName": secret, "ImageType": ["ORIGINAL", "PRIMARY", "DOE"], "ContrastBolusAgent": secret}
    tags |= {"PatientSize": "1.7", "PatientWeight": "63.5"}
    paths = make_series(tmp_path / "Doe Jane", HU, tags=tags)
    assert b"Doe" in paths[0].read_bytes()
    (facts,) = list_series(tmp_path)
    text = repr(facts)
    assert "oe" not in text
    assert "Jane" not in text
    assert "4711" not in text
    assert str(dcmread(paths[0]).SeriesInstanceUID) not in text
    assert (facts.description_words, facts.body_part, facts.kernel, facts.contrast) == (("head",), "", "", True)
    assert (facts.patient.height_m, facts.patient.weight_kg, facts.patient.sex, facts.patient.age_years) == (
        1.7,
        63.5,
        "F",
        71,
    )
