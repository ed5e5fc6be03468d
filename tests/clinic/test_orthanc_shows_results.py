"""Report, key images, segmentations and PDF in a real Orthanc: in one study, and shown by its own preview."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.clinic.orthanc import OrthancServer
from tests.sweep_contents import Drawn, draw_content, with_study
from usassist.dicom.common import write_dataset
from usassist.dicom.objects.shown import list_shown
from usassist.dicom.uids import derived_uid

pytest.importorskip("highdicom", reason="highdicom is missing: pip install 'usassist[dicom]'")

from usassist.dicom.objects.pdf import draw_pdf, make_pdf
from usassist.dicom.objects.report import make_report
from usassist.dicom.objects.segmentation import make_segmentations, mask_of


def test_orthanc_holds_them_in_one_study_and_shows_them(orthanc: OrthancServer, tmp_path: Path) -> None:
    content = with_study(
        draw_content((Drawn(), Drawn(center=(6, 60), cut=True))),
        patient_name="Invented^Objects",
        patient_id="TEST-OBJECTS",
        study_instance_uid=derived_uid("test", "objects in orthanc"),
    )
    made = {**dict(make_segmentations(content)), "report.dcm": make_report(content), "pdf.dcm": make_pdf(content)}
    for name, dataset in made.items():
        write_dataset(tmp_path / name, dataset)
        data = (tmp_path / name).read_bytes()
        orthanc.rest("/instances", data)
        assert orthanc.file(dataset.SOPInstanceUID) == data
    query = {"Level": "Instance", "Query": {"StudyInstanceUID": content.study.study_instance_uid}}
    assert len(json.loads(orthanc.rest("/tools/find", json.dumps(query).encode()))) == len(made)
    for shown in list_shown(content):
        key, mask = made[f"key_{shown.slug}.dcm"], mask_of(shown)
        picture = np.asarray(Image.open(io.BytesIO(orthanc.preview(key.SOPInstanceUID))).convert("L"))
        stored = np.frombuffer(key.PixelData, np.uint8)[: mask.size].reshape(mask.shape)
        low, high = int(stored.min()), int(stored.max())  # its preview stretches grey values to 0..255
        assert np.abs(picture - 255.0 * (stored.astype(float) - low) / (high - low)).max() <= 1.0
        for suffix in ("", "_labelmap"):
            uid = made[f"seg_{shown.slug}{suffix}.dcm"].SOPInstanceUID
            read = pydicom.dcmread(io.BytesIO(orthanc.file(uid)))
            np.testing.assert_array_equal(read.pixel_array.reshape(mask.shape), mask)
        picture = np.asarray(Image.open(io.BytesIO(orthanc.preview(uid))).convert("L"))  # of the label map
        np.testing.assert_array_equal(picture == picture.max(), mask.astype(bool))
    held = pydicom.dcmread(io.BytesIO(orthanc.file(made["pdf.dcm"].SOPInstanceUID)))
    assert held.EncapsulatedDocument[: held.EncapsulatedDocumentLength] == draw_pdf(content)
