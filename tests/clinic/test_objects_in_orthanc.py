"""A sweep in a real archive: what Orthanc holds, and what it renders, is what the session holds."""

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.clinic.orthanc import OrthancServer
from tests.sweeps import Moment, Shown, record_sweep
from usassist.session import open_session
from usassist.session.export.dicom import export_dicom
from usassist.session.export.drawn_frames import draw_frames

SWEEP = Path("tests/golden/sessions/changing")


@pytest.fixture(scope="module")
def held(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory):
    """Cine and secondary captures of a sweep, sent twice; ``SOP instance UID -> dataset`` of each kind."""
    written = export_dicom(open_session(SWEEP), tmp_path_factory.mktemp("out") / "out", only=["cine", "secondary"])
    for _ in range(2):
        for path in (path for paths in written.files.values() for path in paths):
            orthanc.rest("/instances", path.read_bytes(), "POST")
    return written.content, {kind: [pydicom.dcmread(path) for path in paths] for kind, paths in written.files.items()}


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def preview(orthanc: OrthancServer, dataset: pydicom.Dataset, frame: int) -> np.ndarray:
    return picture(orthanc.preview(dataset.SOPInstanceUID, frame))


def test_each_object_is_there_once_and_as_it_was(orthanc, held):
    _, objects = held
    uids = [dataset.SOPInstanceUID for datasets in objects.values() for dataset in datasets]
    here = orthanc.instances()
    assert [here.count(uid) for uid in uids] == [1] * len(uids)
    for datasets in objects.values():
        for dataset in datasets:
            back = pydicom.dcmread(io.BytesIO(orthanc.file(dataset.SOPInstanceUID)))
            assert back == dataset


def test_the_preview_of_each_frame_of_the_cine_is_the_recorded_frame(orthanc, held):
    content, objects = held
    place = {
        index: (dataset, number)
        for part, dataset in zip(content.parts, objects["cine"], strict=True)
        for number, index in enumerate(part.frame_indices)
    }
    for index, image in content.images():
        np.testing.assert_array_equal(preview(orthanc, *place[index]), image)


def test_the_preview_of_a_secondary_capture_is_the_drawn_frame(orthanc, held):
    content, objects = held
    ids = {frame.frame_id: index for index, frame in enumerate(content.frames)}
    drawn = {ids[frame_id]: image.copy() for frame_id, image in draw_frames(open_session(SWEEP), [])}
    for part, dataset in zip(content.parts, objects["secondary"], strict=True):
        for number in (0, len(part.frame_indices) - 1):
            shown = preview(orthanc, dataset, number).astype(int)
            assert np.abs(shown - drawn[part.frame_indices[number]]).mean() < 2.5


def test_the_preview_of_a_grey_frame_has_its_grey_values(orthanc, tmp_path):
    recorded = record_sweep(tmp_path / "session", [Moment(nodules=(Shown(track_id=1),))] * 8)
    written = export_dicom(open_session(recorded), tmp_path / "out", only=["cine"])
    dataset = pydicom.dcmread(written.files["cine"][0])
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    orthanc.rest("/instances", written.files["cine"][0].read_bytes(), "POST")
    (found,) = json.loads(orthanc.rest("/tools/lookup", str(dataset.SOPInstanceUID).encode()))
    for number, image in written.content.images():
        frame = f"/instances/{found['ID']}/frames/{number}"
        np.testing.assert_array_equal(picture(orthanc.rest(f"{frame}/image-uint8")), image)
        windowed = picture(orthanc.rest(f"{frame}/rendered"))  # Orthanc rounds the object's window down by one
        assert np.abs(windowed.astype(int) - image).max() <= 1
        low, high = int(image.min()), int(image.max())  # a preview is stretched over all grey values
        stretched = (image.astype(float) - low) * 255 / (high - low)
        assert np.abs(preview(orthanc, dataset, number) - stretched).max() <= 1
