"""The PDF of drawn sweeps: what it says, that it can be searched, and that it is the same each time."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from shutil import which

import pydicom
import pytest

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from tests.sweep_contents import Drawn, draw_content, with_study
from usassist.dicom.common import write_dataset
from usassist.dicom.objects.content import SweepContent

pytest.importorskip("reportlab", reason="reportlab is missing: pip install 'usassist[dicom]'")
pytest.importorskip("highdicom", reason="highdicom is missing: pip install 'usassist[dicom]'")

from usassist.dicom.objects.pdf import draw_pdf, make_pdf

needs_poppler = pytest.mark.skipif(
    which("pdftotext") is None, reason="pdftotext is missing: apt-get install poppler-utils"
)


def _text(content: SweepContent, folder: Path) -> str:
    path = folder / "report.pdf"
    path.write_bytes(draw_pdf(content))
    done = subprocess.run(["pdftotext", "-raw", str(path), "-"], capture_output=True, text=True, timeout=60, check=True)
    return " ".join(done.stdout.split())


@needs_poppler
def test_sizes_have_intervals_bounds_are_bounds_and_what_was_not_seen_is_told(tmp_path: Path) -> None:
    marks = ({"kind": "wrong", "frame_id": 3, "track_id": 0},)
    drawn = (Drawn(planes=True), Drawn(center=(6, 60), cut=True), Drawn(is_run=True, cut=None))
    text = _text(draw_content(drawn, marks=marks, lost=2), tmp_path)
    assert "Research use only. Not a medical device." in text
    assert "12.4 mm (11.2 to 13.7)" in text
    assert "≥" in text
    assert "sizes are lower bounds" in text
    assert "0.43 mL (0.30 to 0.56)" in text
    assert "wider than tall" in text
    assert "No result is not the same as no finding" in text
    assert "abstained" in text
    assert "Frames lost before they were recorded 2" in text
    assert "Run 1, not tracked: no nodule of its own" in text
    assert "answer is wrong, frame 3, N0" in text
    assert "hypoechoic (estimated, 75 %, kappa 0.40" in text
    assert "Page 2 / 2" in text


@needs_poppler
def test_without_a_scale_there_are_no_millimetres(tmp_path: Path) -> None:
    text = _text(draw_content((Drawn(),), spacing_rc_mm=None, calibrated_scores=False), tmp_path)
    assert " mm" not in text.replace("no scale", "").split("Limits")[0].replace("Millimetres", "")
    assert " px" in text
    assert "no scale" in text
    assert "Score 0.81" in text
    assert "Score 81 %" not in text


@needs_poppler
def test_no_nodule_and_many(tmp_path: Path) -> None:
    assert "This does not mean that there is none" in _text(draw_content(()), tmp_path)
    one = draw_content((Drawn(),))
    nodules = tuple(
        replace(one.nodules[0], track_id=number, name=f"N{number}", frames=50 - number) for number in range(30)
    )
    text = _text(replace(one, nodules=nodules), tmp_path)
    assert "Nodule N4" in text
    assert "Nodule N5" not in text
    assert " N29 " in text


@needs_poppler
def test_identity_stands_on_it_where_the_study_has_one(tmp_path: Path) -> None:
    content = draw_content((Drawn(),))
    assert "Patient" not in _text(content, tmp_path)
    named = with_study(content, patient_name="Invented^<Test>", patient_id="TEST-1", accession_number="A&1")
    text = _text(named, tmp_path)
    assert "Invented <Test>" in text
    assert "TEST-1" in text
    assert "A&1" in text
    assert make_pdf(named).BurnedInAnnotation == "YES"
    assert make_pdf(content).BurnedInAnnotation == "NO"


def test_the_object_holds_the_pdf_and_names_the_cine(tmp_path: Path) -> None:
    content = draw_content((Drawn(), Drawn(cut=True)), channels=3)
    for name in ("one.dcm", "two.dcm"):
        write_dataset(tmp_path / name, make_pdf(content))
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()
    read = pydicom.dcmread(tmp_path / "one.dcm")
    assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength] == draw_pdf(content)
    assert read.EncapsulatedDocument.startswith(b"%PDF-")
    assert [item.ReferencedSOPInstanceUID for item in read.SourceInstanceSequence] == [
        content.cine_uid(content.parts[0])
    ]
    assert not any(element.tag.is_private for element in read.iterall())
    assert b"/FontFile2" in draw_pdf(content)  # fonts are in it


@needs_dciodvfy
def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    write_dataset(tmp_path / "pdf.dcm", make_pdf(draw_content((Drawn(),))))
    assert problems_of(tmp_path / "pdf.dcm") == []
