import math
import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from usassist.dicom.studies.series import SeriesHeader, write_series
from usassist.errors import DicomError, UsageError
from usassist.volumes import Volume

STEP_MM, SPACING_YX_MM = 4.0, (0.7, 0.5)


def make_volume(
    tilt_deg: float = 0.0, lowest: int = -1024, shape_zyx: tuple[int, int, int] = (4, 6, 5), unit: str = "HU"
) -> Volume:
    rng = np.random.default_rng(7)
    voxels = rng.integers(lowest, 3000, shape_zyx, dtype=np.int16)
    voxels[0, 0, 0] = lowest
    affine = np.eye(4)
    affine[:3, 0] = (SPACING_YX_MM[1], 0, 0)
    angle = math.radians(tilt_deg)
    # Planes turned about the x axis; the table moves along z, so that the steps are not normal to them.
    affine[:3, 1] = np.array([0, math.cos(angle), math.sin(angle)]) * SPACING_YX_MM[0]
    affine[:3, 2] = (0, 0, STEP_MM / math.cos(angle))
    affine[:3, 3] = (-110.25, -99.5, 1234.125)
    return Volume(
        session_id="s",
        source_id="ct0",
        series_id="0",
        modality="CT",
        voxels=voxels,
        affine_ijk_to_lps_mm=affine,
        unit=unit,
    )


@needs_dciodvfy
@pytest.mark.parametrize("tilt_deg", [0.0, -18.0])
def test_every_image_is_valid_and_shows_its_plane_where_it_lies(tmp_path: Path, tilt_deg: float) -> None:
    volume = make_volume(tilt_deg)
    header = SeriesHeader(patient_height_m=1.72, patient_weight_kg=70.5, patient_sex="F")
    paths = write_series(volume, tmp_path / "series", header)
    assert len(paths) == 4
    for z, path in enumerate(paths):
        assert problems_of(path) == []
        image = pydicom.dcmread(path)
        hu = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        np.testing.assert_array_equal(hu, volume.voxels[z])
        origin = volume.affine_ijk_to_lps_mm @ (0, 0, z, 1)
        np.testing.assert_allclose(np.array(image.ImagePositionPatient, float), origin[:3], atol=1e-9)
        across, down = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        rows_mm, columns_mm = map(float, image.PixelSpacing)
        np.testing.assert_allclose(across * columns_mm, volume.affine_ijk_to_lps_mm[:3, 0], atol=1e-9)
        np.testing.assert_allclose(down * rows_mm, volume.affine_ijk_to_lps_mm[:3, 1], atol=1e-9)
        assert float(image.SliceThickness) == pytest.approx(STEP_MM)
        assert abs(float(image.GantryDetectorTilt)) == pytest.approx(abs(tilt_deg))
        assert (str(image.PatientName), float(image.PatientSize)) == ("PHANTOM^CT", 1.72)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths[0].parent.stat().st_mode) == 0o700


def test_values_that_the_usual_intercept_cannot_hold_are_signed(tmp_path: Path) -> None:
    volume = make_volume(lowest=-2000)
    for z, path in enumerate(write_series(volume, tmp_path / "series")):
        image = pydicom.dcmread(path)
        assert (image.PixelRepresentation, float(image.RescaleIntercept)) == (1, 0)
        np.testing.assert_array_equal(image.pixel_array, volume.voxels[z])


def test_the_same_volume_is_the_same_series_and_another_is_not(tmp_path: Path) -> None:
    first = write_series(make_volume(), tmp_path / "a")
    again = write_series(make_volume(), tmp_path / "b")
    other = write_series(make_volume(tilt_deg=1.0), tmp_path / "c")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
    one, two = pydicom.dcmread(first[0]), pydicom.dcmread(other[0])
    assert all(one[keyword].value != two[keyword].value for keyword in keywords)
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in first}) == len(first)
    assert len({pydicom.dcmread(path).FrameOfReferenceUID for path in first}) == 1


def test_a_writing_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_series(make_volume(), tmp_path / "series", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    with pytest.raises(DicomError, match="exists already"):
        write_series(make_volume(), tmp_path / "series")
    with pytest.raises(DicomError, match="nothing can be written"):
        write_series(make_volume(), tmp_path / "absent" / "series")


def test_what_is_no_ct_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only CT in HU"):
        write_series(make_volume(unit="1"), tmp_path / "series")
    volume = make_volume()
    affine = volume.affine_ijk_to_lps_mm.copy()
    affine[0, 1] = 0.3
    sheared = Volume(
        session_id="s",
        source_id="ct0",
        series_id="0",
        modality="CT",
        voxels=volume.voxels,
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )
    with pytest.raises(UsageError, match="right angles"):
        write_series(sheared, tmp_path / "series")
    assert list(tmp_path.iterdir()) == []
