from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from tests.unit.dicom.studies.contents import make_content, make_result, read_study
from usassist.dicom.common import write_dataset
from usassist.dicom.studies.report import make_report
from usassist.dicom.studies.segmentation import make_segmentation
from usassist.dicom.studies.source import StudyContent
from usassist.dicom.studies.terms import MEASURED, STATES
from usassist.volumes import Measurement, PlaneScores, StudyAnswer, StudyCause

TISSUES = {0: "skeletal_muscle", 1: "subcutaneous_fat", 2: "visceral_fat"}


def write(content: StudyContent, path: Path, *, segment: bool = True) -> Path:
    segmentation = make_segmentation(content) if segment else None
    write_dataset(path, make_report(content, segmentation))
    return path


def read(content: StudyContent, folder: Path) -> Any:
    """The report as highdicom reads it from its file."""
    return hd.sr.srread(write(content, folder / "report.dcm"))


def texts_of(path: Path) -> list[str]:
    """Every text and the meaning of every coded value, in their order."""
    found = []
    for element in pydicom.dcmread(path).iterall():
        if element.keyword == "ConceptCodeSequence":
            found.append(element.value[0].CodeMeaning)
        elif element.keyword == "TextValue":
            found.append(element.value)
    return found


def states_of(path: Path) -> list[str]:
    """What is said of how the series was answered."""
    known = {term.meaning for term in (*STATES.values(), MEASURED)}
    return [text for text in texts_of(path) if text in known]


@needs_dciodvfy
def test_volume_and_uncertainty_come_back_exactly_with_their_segment(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    content = make_content(study)
    path = write(content, tmp_path / "report.dcm")
    assert problems_of(path) == []
    document = hd.sr.srread(path)
    groups = document.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["Haemorrhage", "Intraventricular haemorrhage"]
    bleed = groups[0]
    assert (bleed.finding_type.value, bleed.finding_category.value) == ("50960005", "49755003")
    assert bleed.finding_sites[0].value.value == "1101003"
    segment = bleed.referenced_segment
    segmentation = make_segmentation(content)
    assert segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1] or segment.referenced_segment_numbers == 1
    (volume,) = bleed.get_measurements(name=codes.SCT.Volume)
    assert (volume.value, volume.unit.value) == (12.345678901234567, "mL")
    parts = {item.ConceptNameCodeSequence[0].CodeValue: item for item in volume[0].ContentSequence}
    assert parts["371886008"].value == parts["371885007"].value == 0.25
    assert parts["370129005"].value.meaning == "Sum of segmented voxel method for volume"
    (score,) = [item for item in bleed.get_measurements() if item.name.value == "STUDY_SCORE"]
    assert (score.value, score.unit.value) == (0.93, "1")
    assert score[0].ContentSequence[0].value == "it is not calibrated"
    assert document.VerificationFlag == "UNVERIFIED"
    assert document.CompletionFlag == "COMPLETE"
    assert document.SeriesDescription.startswith("Report: finding")
    assert "Algorithm Name" in str(document)


def test_what_has_no_value_is_no_number(tmp_path: Path) -> None:
    content = make_content(read_study(tmp_path))
    bleed = read(content, tmp_path).content.get_volumetric_roi_measurement_groups()[0]
    assert not [item for item in bleed.get_measurements() if item.name.value == "112031"]
    (missing,) = [item for item in bleed.get_qualitative_evaluations() if item.name.value == "112031"]
    assert missing.value.meaning == "Measurement failure"
    assert "not computed" in texts_of(tmp_path / "report.dcm")


@needs_dciodvfy
def test_no_result_cannot_be_taken_for_no_finding(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    labels = np.zeros(study.volume.shape_zyx, np.uint8)
    nothing = make_content(study, make_result(study, StudyAnswer(found=False, labelmap=labels)))
    unknown = make_content(study, make_result(study, None, cause=StudyCause.ENGINE_ERROR, reason="the engine stopped"))
    found_nothing = write(nothing, tmp_path / "nothing.dcm", segment=False)
    not_assessed = write(unknown, tmp_path / "unknown.dcm", segment=False)
    assert problems_of(found_nothing) == problems_of(not_assessed) == []
    assert states_of(found_nothing) == ["Answered, and the program found nothing"]
    assert states_of(not_assessed) == ["NO RESULT: this series was not assessed"]
    one, two = pydicom.dcmread(found_nothing), pydicom.dcmread(not_assessed)
    assert (one.CompletionFlag, two.CompletionFlag) == ("COMPLETE", "PARTIAL")
    assert one.SeriesDescription.startswith("Report: no finding by program")
    assert two.SeriesDescription.startswith("NO RESULT: not assessed")
    assert one.SOPInstanceUID != two.SOPInstanceUID
    text = " ".join(texts_of(not_assessed))
    assert "the engine stopped" in text
    assert "That is not the same as no finding" in text
    assert "found nothing" not in text
    assert "NO RESULT" not in " ".join(texts_of(found_nothing))


def make_composition(study: Any) -> StudyContent:
    labels = np.zeros(study.volume.shape_zyx, np.uint8)
    labels[2, 2:9, 2:9], labels[2, 9:12, 2:9], labels[2, 12:14, 2:9] = 1, 2, 3
    answer = StudyAnswer(
        found=True,
        labelmap=labels,
        measurements=(
            Measurement(name="skeletal_muscle_area_l3", value=142.5, unit="cm2", u95=1.5, label_id=0),
            Measurement(name="skeletal_muscle_mean_l3", value=38.25, unit="[hnsf'U]", u95=0.5, label_id=0),
            Measurement(name="visceral_fat_area_l3", value=88.0, unit="cm2", u95=2.0, label_id=2),
            Measurement(
                name="skeletal_muscle_index_l3", value=48.7, unit="cm2/m2", reason="height is as stated", label_id=0
            ),
            Measurement(name="height", value=1.71, unit="m", reason="as stated"),
        ),
    )
    notes = ("Cut-off set: Prado 2008 (PMID 18539529).",)
    return make_content(study, make_result(study, answer), labels=TISSUES, notes=notes)


@needs_dciodvfy
def test_body_composition_is_measurements_at_a_level_and_no_finding(tmp_path: Path) -> None:
    content = make_composition(read_study(tmp_path))
    path = write(content, tmp_path / "report.dcm")
    assert problems_of(path) == []
    assert states_of(path) == ["Answered: outlined and measured"]
    document = hd.sr.srread(path)
    assert document.SeriesDescription.startswith("Report: measurements")
    muscle, subcutaneous, visceral = document.content.get_volumetric_roi_measurement_groups()
    assert muscle.finding_type.meaning == "Skeletal muscle"
    assert subcutaneous.finding_type == visceral.finding_type  # fat; which one is said beside it
    assert [item.value.meaning for item in visceral.get_qualitative_evaluations() if item.name.meaning == "Which"] == [
        "Within the abdominal wall"
    ]
    (area,) = muscle.get_measurements(name=codes.SCT.Area)
    assert (area.value, area.unit.value) == (142.5, "cm2")
    assert area.finding_sites[0].value.meaning == "L3 vertebra"
    (density,) = [item for item in muscle.get_measurements() if item.name.value == "112031"]
    assert (density.value, density.unit.value, density.derivation.meaning) == (38.25, "[hnsf'U]", "Mean")
    assert density.finding_sites[0].value.meaning == "L3 vertebra"
    assert set(content.notes) <= set(texts_of(path))
    names = {
        item.name.meaning: item.value for item in document.content.get_image_measurement_groups()[0].get_measurements()
    }
    assert names["Patient Height"] == 1.71
    (index,) = [item for item in muscle.get_measurements() if item.name.value == "SMI"]
    assert (index.value, index.unit.value, index.finding_sites[0].value.meaning) == (48.7, "cm2/m2", "L3 vertebra")


def test_the_highest_planes_name_their_images(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    scores = np.array([0.1, 0.9, 0.2, 0.95, 0.3, 0.0], np.float32)
    answer = StudyAnswer(
        found=True,
        labelmap=(np.arange(6)[:, None, None] == 3) * np.ones(study.volume.shape_zyx, np.uint8),
        plane_scores=(PlaneScores(name="haemorrhage", label_id=0, scores=scores),),
    )
    content = make_content(study, make_result(study, answer))
    (group,) = read(content, tmp_path).content.get_volumetric_roi_measurement_groups()
    planes = [item for item in group.get_measurements() if item.name.value == "PLANE_SCORE"]
    assert [item.value for item in planes] == scores[[3, 1, 4]].tolist()
    uids = [item.referenced_images[0].referenced_sop_instance_uid for item in planes]
    assert uids == [study.slices[z].sop_instance_uid for z in (3, 1, 4)]


@pytest.mark.parametrize("segment", [True, False])
def test_every_image_is_evidence(tmp_path: Path, segment: bool) -> None:
    study = read_study(tmp_path)
    content = make_content(study)
    segmentation = make_segmentation(content) if segment else None
    document = make_report(content, segmentation)
    named = {uid for _, _, uid, _ in document.get_evidence()}
    expected = {plane.sop_instance_uid for plane in study.slices}
    if segmentation is not None:
        expected.add(segmentation.SOPInstanceUID)
    assert named == expected


def test_a_label_below_its_threshold_is_called_not_found(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    answer = StudyAnswer(
        found=True,
        labelmap=(np.arange(6)[:, None, None] == 3) * np.ones(study.volume.shape_zyx, np.uint8),
        measurements=(
            Measurement(name="study_score", value=0.5, unit="1", reason="raw", label_id=0),
            Measurement(name="study_score", value=0.4, unit="1", reason="raw", label_id=3),
        ),
    )
    content = make_content(study, make_result(study, answer), thresholds={0: 0.5, 3: 0.5})
    document = read(content, tmp_path).content
    (found,) = document.get_volumetric_roi_measurement_groups()
    _, missed = document.get_image_measurement_groups()
    assert found.tracking_identifier == "Haemorrhage"
    assert missed.tracking_identifier == "Extra-axial haemorrhage, NOT FOUND"
    said = [
        [item.value.value for item in group.get_qualitative_evaluations() if item.name.value == "FOUND"]
        for group in (found, missed)
    ]
    assert said == [["IS_FOUND"], ["NOT_FOUND"]]
