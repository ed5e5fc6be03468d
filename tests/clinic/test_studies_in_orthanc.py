"""Series, segmentation and report of a CT study in a real Orthanc: in one study, and shown by its own preview."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clinic.orthanc import OrthancServer

pytest.importorskip("highdicom", reason="highdicom is missing: pip install 'usassist[dicom]'")

from tests.unit.dicom.studies.contents import make_content, make_labelmap, read_study
from usassist.dicom.common import write_dataset
from usassist.dicom.studies.report import make_report
from usassist.dicom.studies.segmentation import make_segmentation


def test_orthanc_holds_a_study_with_its_objects_and_shows_the_masks(orthanc: OrthancServer, tmp_path: Path) -> None:
    study = read_study(tmp_path)
    content = make_content(study)
    segmentation, label_map = make_segmentation(content), make_segmentation(content, kind="labelmap")
    report = make_report(content, segmentation)
    for path in sorted((tmp_path / "series").iterdir()):
        orthanc.rest("/instances", path.read_bytes())
    for name, dataset in (("seg", segmentation), ("labelmap", label_map), ("report", report)):
        write_dataset(tmp_path / f"{name}.dcm", dataset)
        data = (tmp_path / f"{name}.dcm").read_bytes()
        orthanc.rest("/instances", data)
        assert orthanc.file(dataset.SOPInstanceUID) == data
    query = {"Level": "Study", "Query": {"PatientID": "PHANTOM-CT"}, "Expand": True}
    (held,) = json.loads(orthanc.rest("/tools/find", json.dumps(query).encode()))
    assert held["MainDicomTags"]["StudyInstanceUID"] == segmentation.StudyInstanceUID
    assert len(held["Series"]) == 4
    labels = make_labelmap(study.volume.shape_zyx)
    origin_z, step_mm = study.volume.affine_ijk_to_lps_mm[2, 3], study.volume.affine_ijk_to_lps_mm[2, 2]
    for frame, groups in enumerate(label_map.PerFrameFunctionalGroupsSequence):
        z = round((float(groups.PlanePositionSequence[0].ImagePositionPatient[2]) - origin_z) / step_mm)
        picture = np.asarray(Image.open(io.BytesIO(orthanc.preview(label_map.SOPInstanceUID, frame))).convert("L"))
        np.testing.assert_array_equal(picture > 0, labels[z] > 0)
