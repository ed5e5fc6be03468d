"""The structured report of drawn sweeps: what goes in comes out, and a reader cannot take it for more than it is."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from pathlib import Path
from shutil import which

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from tests.sweep_contents import ENGINE, Drawn, draw_content, with_study
from usassist.bus import MarkKind
from usassist.clinical import DESCRIPTORS
from usassist.dicom.common import write_dataset
from usassist.dicom.objects import terms
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, SweepContent
from usassist.dicom.objects.shown import list_shown
from usassist.records import Cause, SignalState

pytest.importorskip("highdicom", reason="highdicom is missing: pip install 'usassist[dicom]'")
from highdicom.sr import srread

from usassist.dicom.objects.report import make_report

MARKS = (
    {"kind": "wrong", "frame_id": 3, "track_id": 0},
    {"kind": "plane", "frame_id": 5, "track_id": None, "plane": "transverse", "side": "right"},
    {"kind": "bookmark", "frame_id": 999, "track_id": None},
)


def _read(content: SweepContent):
    """The report as another program reads it from its file."""
    report = make_report(content)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, report, implicit_vr=False, little_endian=True, enforce_file_format=True)
    buffer.seek(0)
    return srread(buffer)


def _items(group) -> list:
    return list(group[0].ContentSequence)


def _numbers(group) -> dict[str, object]:
    return {item.name.meaning: item for item in _items(group) if item.ValueType == "NUM"}


def _uncertainty(item) -> tuple[float, float] | None:
    found = {child.name.value: child for child in item.get("ContentSequence", ()) if child.ValueType == "NUM"}
    if not found:
        return None
    assert all(child.unit == item.unit for child in found.values())
    return found[terms.LOWER_UNCERTAINTY.value].value, found[terms.UPPER_UNCERTAINTY.value].value


def _comments(document) -> list[str]:
    return [item.TextValue for item in document.content[0].ContentSequence if item.ValueType == "TEXT"]


drawn_nodules = st.builds(
    Drawn,
    center=st.tuples(st.integers(8, 150), st.integers(8, 110)),
    axes=st.tuples(st.integers(3, 40), st.integers(3, 30)),
    angle_deg=st.floats(0, 180),
    cut=st.sampled_from((True, False, None)),
    score=st.floats(0.001, 0.999),
    with_ends=st.booleans(),
    with_shape=st.booleans(),
    side=st.sampled_from((None, "right", "left", "isthmus")),
    planes=st.booleans(),
    is_run=st.booleans(),
    engine_id=st.sampled_from((ENGINE, "other@2.0.0+abcdefabcdef")),
    backend=st.sampled_from(("openvino", "onnxruntime")),
)
contents = st.builds(
    draw_content,
    st.lists(drawn_nodules, max_size=3).map(tuple),
    spacing_rc_mm=st.sampled_from((None, (0.2, 0.2), (0.11, 0.23))),
    calibrated_scores=st.booleans(),
    lost=st.integers(0, 2),
    state=st.sampled_from(("ended", "failed")),
    marks=st.sampled_from(((), MARKS)),
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(contents)
def test_what_goes_in_comes_out(content: SweepContent) -> None:
    document = _read(content)
    report = document.content
    whole = report.get_image_measurement_groups()
    planar = report.get_planar_roi_measurement_groups()
    shown = list_shown(content)
    assert len(planar) == len(shown)
    for group, item in zip(planar, shown, strict=True):
        found = item.found
        assert group.tracking_uid == item.tracking_uid
        assert group.finding_type.value == terms.NODULE.value
        # The outline, closed, on its frame of the cine.
        region = group.roi
        assert region.GraphicType == "POLYLINE"
        points = np.array(region.GraphicData, np.float32).reshape(-1, 2)
        np.testing.assert_array_equal(points[:-1], found.contour_xy_px)
        np.testing.assert_array_equal(points[-1], points[0])
        source = region.ContentSequence[0].ReferencedSOPSequence[0]
        assert source.ReferencedSOPInstanceUID == content.cine_uid(content.parts[0])
        assert source.ReferencedFrameNumber == item.section.frame_index + 1
        # Sizes, each with its unit and interval; bounds under names of their own.
        numbers = _numbers(group)
        calipers = [other for other in whole if other.tracking_uid == item.tracking_uid]
        for other in calipers:
            if other.source_images[0].referenced_frame_numbers == [item.section.frame_index + 1]:
                numbers |= {
                    name: number for name, number in _numbers(other).items() if name in ("Long Axis", "Short Axis")
                }
        names = terms.LOWER_BOUNDS if found.cut else terms.SIZES
        hidden = terms.SIZES if found.cut else terms.LOWER_BOUNDS
        assert not {hidden[name].meaning for name in hidden} & set(numbers)
        for name, size in found.sizes.items():
            number = numbers[names[name].meaning]
            if size.mm is None:
                assert (number.value, number.unit.value) == (size.px, "{pixels}")
                assert _uncertainty(number) is None
            else:
                assert (number.value, number.unit.value) == (size.mm, "mm2" if name == "area" else "mm")
                assert _uncertainty(number) == (None if found.cut else (size.u95_mm, size.u95_mm))
        score = numbers.get("Certainty of Finding") or numbers["Score, not calibrated"]
        factor = 100.0 if content.engine.score_calibration_id else 1.0
        assert score.value == factor * found.score
        versions = [child.value for child in _items(group) if child.name.meaning == "Algorithm Version"]
        assert versions == [item.answer.engine_id.partition("@")[2]]
    assert document.CompletionFlag == (
        "COMPLETE" if content.state == "ended" and not content.frames_lost else "PARTIAL"
    )
    assert (document.VerificationFlag, document.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_axes_have_their_end_points_on_the_frame() -> None:
    content = draw_content((Drawn(),))
    found = content.answers[0].nodules[0]
    groups = _read(content).content.get_image_measurement_groups()
    axes = next(group for group in groups if "Long Axis" in _numbers(group))
    for name, ends in (("Long Axis", found.major_ends_xy_px), ("Short Axis", found.minor_ends_xy_px)):
        line = next(child for child in _numbers(axes)[name].ContentSequence if child.ValueType == "SCOORD")
        np.testing.assert_array_equal(np.array(line.GraphicData, np.float32).reshape(2, 2), np.float32(ends))
        source = line.ContentSequence[0].ReferencedSOPSequence[0]
        assert (source.ReferencedSOPClassUID, source.ReferencedFrameNumber) == (ULTRASOUND_MULTI_FRAME, 1)


def test_volume_and_its_diameters_come_from_both_planes() -> None:
    content = draw_content((Drawn(planes=True),))
    groups = _read(content).content.get_image_measurement_groups()
    group = next(group for group in groups if "Volume of ellipsoid" in _numbers(group))
    numbers = _numbers(group)
    assert (numbers["Volume of ellipsoid"].value, numbers["Volume of ellipsoid"].unit.value) == (0.431, "cm3")
    assert _uncertainty(numbers["Volume of ellipsoid"]) == (0.13, 0.13)
    assert [numbers[name].value for name in ("Length", "Width", "Depth")] == [12.5, 9.25, 7.125]
    assert [image.referenced_frame_numbers for image in group.source_images] == [[2], [1]]
    planar = _read(content).content.get_planar_roi_measurement_groups()
    assert len(planar) == 2
    assert planar[0].tracking_uid == planar[1].tracking_uid


def test_the_ratio_of_axes_is_given_in_transverse_planes_alone() -> None:
    for planes, sections in ((False, [False]), (True, [True, False])):
        groups = _read(draw_content((Drawn(planes=planes),))).content.get_planar_roi_measurement_groups()
        assert [terms.AP_T.meaning in _numbers(group) for group in groups] == sections
    found = draw_content((Drawn(planes=True),)).answers[0].nodules[0]
    number = _numbers(groups[0])[terms.AP_T.meaning]
    assert number.value == found.ap_t
    assert found.ap_t is not None
    assert _uncertainty(number) == (found.ap_t - found.ap_t_low, found.ap_t_high - found.ap_t)


def test_a_nodule_that_is_cut_has_no_exact_size_and_no_calipers() -> None:
    document = _read(draw_content((Drawn(cut=True),)))
    (group,) = document.content.get_planar_roi_measurement_groups()
    numbers = _numbers(group)
    assert "Long axis is at least (lower bound, nodule cut)" in numbers
    assert not {term.meaning for term in (*terms.SIZES.values(), terms.AP_T)} & set(numbers)
    assert all(_uncertainty(number) is None for number in numbers.values())
    assert not [item for item in document.iterall() if item.value == "Short Axis"]


def test_descriptors_say_where_they_come_from_and_unknown_ones_are_left_out() -> None:
    document = _read(draw_content((Drawn(),)))
    group = document.content.get_planar_roi_measurement_groups()[0]
    codes = {item.name.meaning: item for item in _items(group) if item.ValueType == "CODE"}
    origin = {name: codes[name].ContentSequence[0].value.meaning for name in ("Composition", "Echogenicity")}
    assert origin == {"Composition": "Confirmed by a person", "Echogenicity": "Estimate by algorithm"}
    assert codes["Echogenicity"].value.value == "111364"
    assert "Margin" not in codes
    assert not [name for name in codes if "TI-RADS" in name]


def test_what_was_not_answered_is_told() -> None:
    content = draw_content((Drawn(),), marks=MARKS, lost=2)
    document = _read(content)
    sweep = next(
        group for group in document.content.get_image_measurement_groups() if group.tracking_identifier == "sweep"
    )
    numbers = _numbers(sweep)
    assert numbers[terms.ANSWERED_FRAMES.meaning].value == 2
    unanswered = numbers[terms.UNANSWERED_FRAMES.meaning]
    assert unanswered.value == 1
    assert unanswered.ContentSequence[0].value.value == "ABSTAINED"
    assert numbers[terms.FRAMES_LOST.meaning].value == 2
    text = " ".join(_comments(document))
    assert "not a medical device" in text
    assert '"No finding" counts for the 2 answered frames alone' in text
    assert "not the same as no finding" in text
    marks = [item for item in _items(sweep) if item.name.meaning == terms.MARK.meaning]
    assert [item.value.value for item in marks] == ["WRONG", "PLANE_MARK", "BOOKMARK"]
    images = [[child for child in item.ContentSequence if child.ValueType == "IMAGE"] for item in marks]
    assert [len(found) for found in images] == [1, 1, 0]
    assert document.CompletionFlagDescription == "2 frames lost"


def test_no_nodule_is_not_said_to_be_none() -> None:
    document = _read(draw_content(()))
    assert not document.content.get_planar_roi_measurement_groups()
    assert "No nodule is listed. This does not mean that there is none." in _comments(document)


def test_evidence_study_and_identity() -> None:
    content = with_study(
        draw_content((Drawn(),)), patient_name="Invented^Test", patient_id="TEST-1", accession_number="A1"
    )
    document = _read(content)
    evidence = document.get_evidence(current_procedure_only=True)
    cine = content.parts[0]
    assert evidence == [
        (content.study.study_instance_uid, content.series_uid("cine"), content.cine_uid(cine), ULTRASOUND_MULTI_FRAME)
    ]
    assert (document.PatientName, document.PatientID, document.AccessionNumber) == ("Invented^Test", "TEST-1", "A1")


def test_the_same_sweep_gives_the_same_bytes_and_nothing_private(tmp_path: Path) -> None:
    content = draw_content((Drawn(), Drawn(cut=True)))
    for name in ("one.dcm", "two.dcm"):
        write_dataset(tmp_path / name, make_report(content))
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()
    assert not any(element.tag.is_private for element in pydicom.dcmread(tmp_path / "one.dcm").iterall())


@needs_dciodvfy
@pytest.mark.parametrize("spacing", [None, (0.2, 0.2)])
def test_the_validator_finds_no_error(tmp_path: Path, spacing: tuple[float, float] | None) -> None:
    drawn = (Drawn(planes=True), Drawn(center=(10, 60), cut=True), Drawn(is_run=True, cut=None, side="isthmus"))
    content = draw_content(drawn, marks=MARKS, lost=1, spacing_rc_mm=spacing)
    write_dataset(tmp_path / "report.dcm", make_report(content))
    assert problems_of(tmp_path / "report.dcm") == []


@pytest.mark.skipif(which("dsrdump") is None, reason="dsrdump is missing: apt-get install dcmtk")
@pytest.mark.parametrize("program", ["dsrdump", "dsr2html"])
def test_dcmtk_reads_it_without_a_complaint(tmp_path: Path, program: str) -> None:
    write_dataset(
        tmp_path / "report.dcm", make_report(draw_content((Drawn(planes=True), Drawn(cut=True)), marks=MARKS))
    )
    more = ["+Pl"] if program == "dsrdump" else []
    done = subprocess.run(
        [program, *more, str(tmp_path / "report.dcm")], capture_output=True, text=True, timeout=60, check=True
    )
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]
    assert not complaints
    assert "8.19999980926514" in done.stdout
    assert "Cut: every size is a lower bound" in done.stdout


def test_every_word_cause_signal_and_mark_has_a_code() -> None:
    words = {(name, word) for name, known in DESCRIPTORS.items() for word in known}
    assert words <= set(terms.DESCRIPTOR_WORDS)
    assert set(DESCRIPTORS) == set(terms.DESCRIPTORS)
    assert {str(cause) for cause in Cause} <= set(terms.CAUSES)
    assert {str(state) for state in SignalState if state is not SignalState.LIVE} == set(terms.SIGNALS)
    assert {str(kind) for kind in MarkKind} == set(terms.MARKS)


def test_no_code_of_ours_means_two_things() -> None:
    tables = (terms.SIZES, terms.LOWER_BOUNDS, terms.DESCRIPTORS, terms.DESCRIPTOR_WORDS, terms.CAUSES, terms.SIGNALS)
    single = [value for value in vars(terms).values() if isinstance(value, terms.Term)]
    every = [*single, *(term for table in (*tables, terms.MARKS, terms.PLANES, terms.BASES) for term in table.values())]
    every += [*terms.CUT_STATES.values(), *terms.SCALE_STATES.values()]
    meaning: dict[tuple[str, str], str] = {}
    for term in every:
        assert meaning.setdefault((term.scheme, term.value), term.meaning) == term.meaning


def test_a_category_says_that_it_was_looked_up() -> None:
    content = draw_content((Drawn(),))
    category = {**content.nodules[0].categories[0], "level": "TR4", "meaning": "moderately suspicious", "points": 5}
    content = replace(content, nodules=(replace(content.nodules[0], categories=(category,)),))
    (group,) = _read(content).content.get_planar_roi_measurement_groups()
    item = next(item for item in _items(group) if item.name.meaning == "ACR TI-RADS 2017")
    assert (item.value.value, item.value.meaning) == ("TR4", "TR4: moderately suspicious")
    assert item.ContentSequence[0].value.value == "LOOKED_UP"


def test_a_word_without_a_code_is_a_text_and_not_lost() -> None:
    content = draw_content((Drawn(echogenicity="speckled"),))
    (group,) = _read(content).content.get_planar_roi_measurement_groups()
    texts = [item.value for item in _items(group) if item.ValueType == "TEXT" and item.name.meaning == "Comment"]
    assert texts == ["echogenicity: speckled (estimate by algorithm)"]


def test_frames_whose_pixels_are_lost_count_as_frames_of_the_sweep() -> None:
    content = draw_content((Drawn(),))
    content = replace(content, answered_frames=7, pixels_lost=5)
    document = _read(content)
    assert "The other 1 of 8 frames have no result" in " ".join(_comments(document))
    assert document.CompletionFlag == "PARTIAL"
