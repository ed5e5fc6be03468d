"""The Orthanc of the tests: it holds what it was sent, over a kill, and asks for a password where one is set."""

from __future__ import annotations

import io
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.clinic.orthanc import OrthancServer, running_orthanc


def an_image() -> tuple[str, bytes]:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
    dataset.PatientID, dataset.PatientName, dataset.Modality = "TEST", "Test^Orthanc", "US"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 16, 32, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = np.arange(512, dtype=np.uint8).tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return dataset.SOPInstanceUID, file.getvalue()


def test_it_shows_what_it_was_sent(orthanc: OrthancServer) -> None:
    uid, data = an_image()
    orthanc.rest("/instances", data)
    assert orthanc.instances().count(uid) == 1
    assert orthanc.file(uid) == data
    assert Image.open(io.BytesIO(orthanc.preview(uid))).size == (32, 16)


def test_after_a_kill_it_starts_again_with_what_it_held(tmp_path: Path) -> None:
    with running_orthanc(tmp_path, tls=True, user="test", password="invented") as orthanc:
        assert orthanc.certificate is not None
        uid, data = an_image()
        orthanc.rest("/instances", data)
        orthanc.kill()
        with pytest.raises(urllib.error.URLError):
            orthanc.rest("/system")
        orthanc.start()
        assert orthanc.instances() == [uid]
        context = ssl.create_default_context(cafile=str(orthanc.certificate.ca))
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            urllib.request.urlopen(f"{orthanc.dicomweb_url}/studies", context=context)
        caught.value.close()
