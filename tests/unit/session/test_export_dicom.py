"""A session as DICOM: read back with pydicom, every object is what the session is."""

import dataclasses
import errno
import json
import math
import shutil
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of, warnings_of
from tests.sweeps import Moment, Shown, record_sweep
from usassist.app.commands import main as command_line
from usassist.dicom.objects.content import SweepContent
from usassist.dicom.study import StudyContext, write_study
from usassist.errors import SessionError, UsageError
from usassist.records import Cause, SignalState
from usassist.session import open_session
from usassist.session.export import dicom as export
from usassist.session.export.dicom import KINDS, ExportedSweep, export_dicom
from usassist.session.export.drawn_frames import draw_frames
from usassist.session.export.sweep_content import sweep_content
from usassist.sources import open_source

GOLDEN = Path("tests/golden/sessions")
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
STUDY = StudyContext(
    patient_name="Testperson^Erfunden",
    patient_id="INVENTED-0001",
    patient_birth_date="19700101",
    patient_sex="F",
    accession_number="ACC-TEST-1",
    study_instance_uid="1.2.3.4",
    study_date="20260301",
    study_time="0815",
    requested_procedure_id="RP-TEST",
    scheduled_procedure_step_id="SPS-TEST",
)
# What dciodvfy warns of because it is not known: who was examined, and which side the body part is of.
UNKNOWN = ("build DICOMDIR", "attribute <Laterality>")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportedSweep]:
    """The cine and the secondary captures of the golden sessions."""
    folder = tmp_path_factory.mktemp("dicom")
    return {
        name: export_dicom(open_session(GOLDEN / name), folder / name, only=("cine", "secondary"))
        for name in ("sweep", "changing", "interrupted")
    }


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded sweep with a nodule, lost frames, frames without an answer, without a scale and not live."""
    seen = Moment(nodules=(Shown(track_id=4),))
    moments = [
        seen,
        seen,
        Moment(),
        Moment(cause=Cause.DROPPED),
        seen,
        dataclasses.replace(seen, gap=3),
        dataclasses.replace(seen, scaled=False),
        Moment(picture=SignalState.FROZEN),
        dataclasses.replace(seen, result=False),
        dataclasses.replace(seen, wait_ns=1_000_000_001),
        seen,
    ]
    return record_sweep(tmp_path_factory.mktemp("recorded") / "session", moments)


def pairs(sweep: ExportedSweep, kind: str) -> list[tuple[Path, pydicom.Dataset]]:
    return [(path, pydicom.dcmread(path)) for path in sweep.files[kind]]


def steps_ms(dataset: pydicom.Dataset) -> list[Fraction]:
    values = dataset.FrameTimeVector
    return [Fraction(str(step)) for step in (values if dataset.NumberOfFrames > 1 else [values])]


@pytest.mark.parametrize("name", ["sweep", "changing", "interrupted"])
def test_every_frame_is_in_the_cine_with_its_pixels_time_and_scale(exported, name):
    session, written = open_session(GOLDEN / name), exported[name]
    lines = {line.frame_id: (line, image) for line, image in session.images()}
    first_ns = session.frames[0].t_capture_ns
    found = {}
    for part, (path, dataset) in zip(written.content.parts, pairs(written, "cine"), strict=True):
        assert dataset.NumberOfFrames == len(part.frame_indices) == len(steps_ms(dataset))
        start_ms = written.content.frames[part.frame_indices[0]].t_ms
        times = accumulate(steps_ms(dataset))
        for number, (index, since_ms) in enumerate(zip(part.frame_indices, times, strict=True)):
            frame = written.content.frames[index]
            found[frame.frame_id] = (pixel_array(path, index=number), dataset, Fraction(start_ms) + since_ms)
    assert found.keys() == lines.keys()
    for frame_id, (pixels, dataset, t_ms) in found.items():
        line, image = lines[frame_id]
        np.testing.assert_array_equal(pixels, image)
        if session.manifest.source["realtime"]:
            assert round(t_ms * 10**6) == line.t_capture_ns - first_ns
        else:
            assert float(t_ms) == pytest.approx(1e3 * line.frame_id / session.manifest.source["rate_hz"], abs=1e-6)
        if line.spacing_rc_mm is None:
            assert "SequenceOfUltrasoundRegions" not in dataset
        else:
            (region,) = dataset.SequenceOfUltrasoundRegions
            assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)
            spacing = (10 * region.PhysicalDeltaY, 10 * region.PhysicalDeltaX)
            assert spacing == pytest.approx(line.spacing_rc_mm, rel=1e-15)
            box = (region.RegionLocationMaxX1 + 1, region.RegionLocationMaxY1 + 1)
            assert box == (dataset.Columns, dataset.Rows)


def test_a_time_that_was_kept_is_kept_to_the_nanosecond(sweep, tmp_path):
    manifest = (sweep / "session.toml").read_text()
    assert "realtime = true" in manifest
    written = export_dicom(open_session(sweep), tmp_path / "out", only=["cine"])
    session = open_session(sweep)
    captured = {line.frame_id: line.t_capture_ns for line in session.frames}
    seen = 0
    for part, (_, dataset) in zip(written.content.parts, pairs(written, "cine"), strict=True):
        frames = [written.content.frames[index] for index in part.frame_indices]
        for frame, since_ms in zip(frames, accumulate(steps_ms(dataset)), strict=True):
            assert since_ms * 10**6 == captured[frame.frame_id] - captured[frames[0].frame_id]
            seen += 1
    assert seen == len(session.frames)


def test_frames_that_are_missing_are_said_and_not_made_up(sweep, tmp_path):
    written = export_dicom(open_session(sweep), tmp_path / "out", only=["cine"])
    scaled, unscaled = (dataset for _, dataset in pairs(written, "cine"))
    assert scaled.NumberOfFrames == 10
    assert "Between frames 5 and 6 of this object: 3 lost." in scaled.ImageComments
    assert float(scaled.FrameTimeVector[5]) == 160.0
    assert "Between frames 6 and 7 of this object: 1 in another part." in scaled.ImageComments
    assert float(scaled.FrameTimeVector[8]) == pytest.approx(1040.000001, abs=1e-9)
    assert "1 of the frames came while the signal was not live" in scaled.ImageComments
    assert "standard uncertainty 1 %" in scaled.ImageComments
    assert unscaled.NumberOfFrames == 1
    assert "SequenceOfUltrasoundRegions" not in unscaled
    assert "No scale" in unscaled.ImageComments


@pytest.mark.parametrize("name", ["sweep", "changing", "interrupted"])
def test_secondary_captures_show_what_the_overlay_shows_frame_for_frame(exported, name):
    written = exported[name]
    place = {}
    for part, (path, dataset) in zip(written.content.parts, pairs(written, "secondary"), strict=True):
        assert dataset.BurnedInAnnotation == "YES"
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
        (source,) = dataset.SourceImageSequence
        for number, index in enumerate(part.frame_indices):
            reference = written.content.reference(index)
            assert source.ReferencedSOPInstanceUID == reference.sop_instance_uid
            assert reference.frame_number == number + 1
            place[written.content.frames[index].frame_id] = (path, number)
    problems: list[str] = []
    for frame_id, drawn in draw_frames(open_session(GOLDEN / name), problems):
        path, number = place.pop(frame_id)
        if number % 5 == 0:
            shown = pixel_array(path, index=number)
            assert shown.shape == drawn.shape
            assert np.abs(shown.astype(int) - drawn).mean() < 2.5
    assert (place, problems) == ({}, [])


def test_a_frame_without_an_answer_does_not_look_like_one_without_a_finding(exported):
    written = exported["interrupted"]
    answered = [answer.is_answer for answer in written.content.answers]
    assert 0 < sum(answered) < len(answered)
    (path,) = written.files["secondary"]
    for number, answer in enumerate(answered):
        border = pixel_array(path, index=number).astype(int)[60:-40, :6]  # of the image, between the bars
        hatched = np.ptp(border, axis=2) > 60
        assert (hatched.mean() > 0.2) != answer


@needs_dciodvfy
@pytest.mark.parametrize("name", ["sweep", "interrupted"])
def test_the_validator_finds_no_error(exported, name):
    paths = [path for paths in exported[name].files.values() for path in paths]
    assert len(paths) >= 2
    for path in paths:
        assert problems_of(path) == []
        assert [line for line in warnings_of(path) if not any(known in line for known in UNKNOWN)] == []


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> ExportedSweep:
    """All kinds of objects of a golden session."""
    pytest.importorskip("highdicom", reason="pip install 'usassist[dicom]'")
    return export_dicom(open_session(GOLDEN / "changing"), tmp_path_factory.mktemp("dicom") / "all", study=STUDY)


def test_the_same_session_gives_the_same_files(everything, tmp_path):
    again = export_dicom(open_session(GOLDEN / "changing"), tmp_path / "again", study=STUDY)
    assert {kind: len(paths) > 0 for kind, paths in everything.files.items()} == dict.fromkeys(KINDS, True)
    for kind, paths in everything.files.items():
        assert [path.name for path in paths] == [path.name for path in again.files[kind]]
        assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again.files[kind]]


def test_all_objects_are_of_one_study_and_refer_to_one_another(everything):
    datasets = [dataset for kind in everything.files for _, dataset in pairs(everything, kind)]
    known = {dataset.SOPInstanceUID: dataset for dataset in datasets}
    assert len(known) == len(datasets)
    referring = set()
    for dataset in datasets:
        assert (dataset.StudyInstanceUID, dataset.PatientID) == ("1.2.3.4", "INVENTED-0001")
        assert (dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber) == ("20260301", "0815", "ACC-TEST-1")
        assert "research use" in dataset.SeriesDescription
        assert not [element for element in dataset.iterall() if element.tag.is_private]
        for item in items_of(dataset):
            if "ReferencedSOPInstanceUID" not in item:
                continue
            source = known[item.ReferencedSOPInstanceUID]  # so it is here
            assert item.ReferencedSOPClassUID == source.SOPClassUID
            referring.add(dataset.SOPClassUID)
            numbers = item.get("ReferencedFrameNumber") or 1
            numbers = [numbers] if isinstance(numbers, int) else numbers
            assert 1 <= min(numbers) <= max(numbers) <= source.get("NumberOfFrames", 1)
    series = {(dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SOPClassUID) for dataset in datasets}
    assert len(series) == len({uid for uid, _, _ in series}) == len({number for _, number, _ in series})
    assert len(referring) == len(series) - 1  # all but the cine


def test_label_maps_can_be_left_out_and_key_images_come_with_either(tmp_path):
    session = open_session(GOLDEN / "sweep")
    pytest.importorskip("highdicom", reason="pip install 'usassist[dicom]'")
    binary = export_dicom(session, tmp_path / "a", only=["seg"]).files["seg"]
    assert [path.name for path in binary] == ["key_N1.dcm", "seg_N1.dcm"]
    maps = export_dicom(session, tmp_path / "b", only=["labelmap"]).files["labelmap"]
    assert [path.name for path in maps] == ["key_N1.dcm", "seg_N1_labelmap.dcm"]
    both = export_dicom(session, tmp_path / "c", only=["seg", "labelmap"]).files
    assert [path.name for path in both["labelmap"]] == ["seg_N1_labelmap.dcm"]


def items_of(dataset: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from items_of(item)


@needs_dciodvfy
def test_the_validator_finds_no_error_in_a_single_frame_and_in_frames_without_a_scale(sweep, tmp_path):
    written = export_dicom(open_session(sweep), tmp_path / "out", only=["cine", "secondary"])
    assert [len(part.frame_indices) for part in written.content.parts] == [10, 1]
    for path in (path for paths in written.files.values() for path in paths):
        assert problems_of(path) == []


@needs_dciodvfy
def test_the_validator_finds_no_error_in_anything(everything):
    for kind, paths in everything.files.items():
        for path in paths:
            if pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID == LABEL_MAP:
                continue  # newer than this validator, which does not know the class
            assert problems_of(path) == []
            known = (*UNKNOWN, "<99USASSIST>") if kind == "report" else UNKNOWN
            assert [line for line in warnings_of(path) if not any(text in line for text in known)] == []


def test_objects_of_one_study_agree_on_it_and_others_have_other_uids(sweep, tmp_path):
    anonymous = export_dicom(open_session(sweep), tmp_path / "a", only=["cine"])
    named = export_dicom(open_session(sweep), tmp_path / "b", study=STUDY, only=["cine", "secondary"])
    first = pydicom.dcmread(anonymous.files["cine"][0])
    assert (first.PatientName, first.PatientID, first.AccessionNumber) == ("", "", "")
    assert first.TimezoneOffsetFromUTC == "+0000"
    datasets = [dataset for kind in named.files for _, dataset in pairs(named, kind)]
    for dataset in datasets:
        assert dataset.PatientName == "Testperson^Erfunden"
        assert dataset.PatientID == "INVENTED-0001"
        assert dataset.StudyInstanceUID == "1.2.3.4"
        assert (dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber) == ("20260301", "0815", "ACC-TEST-1")
        assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepID == "SPS-TEST"
        assert not any(element.tag.is_private for element in dataset.iterall())
    uids = [dataset.SOPInstanceUID for dataset in datasets]
    assert len(set(uids)) == len(uids) == 4
    assert first.SOPInstanceUID not in uids
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 2


def test_what_the_content_says_is_what_the_session_says(sweep):
    content = sweep_content(open_session(sweep))
    (nodule,) = content.nodules
    assert (nodule.name, nodule.track_id, nodule.frames) == ("N4", 4, 7)
    assert (content.frames_lost, content.results_lost, content.pixels_lost) == (3, 1, 0)
    best = content.answers[nodule.best.frame_index].nodules[nodule.best.row]
    line = open_session(sweep)
    with line.result_reader() as read:
        said = read(content.frames[nodule.best.frame_index].frame_id)
    assert said is not None
    assert best.sizes["longest_diameter"].mm == said["nodules"][0]["major_mm"]
    assert best.sizes["longest_diameter"].u95_mm == said["nodules"][0]["major_u95_mm"]
    assert best.sizes["area"].mm == said["nodules"][0]["area_mm2"]
    np.testing.assert_array_equal(best.contour_xy_px, np.float32(said["nodules"][0]["contour_xy_px"]))
    assert [answer.state for answer in content.answers][7:9] == ["no_result", "missing"]
    assert [answer.state for answer in content.answers] == [content.answers[i].state for i in range(11)]
    assert math.isclose(content.frames[-1].t_ms, 1e-6 * (13 * 40_000_000 + 1_000_000_001))


def test_burnt_in_text_that_is_suspected_is_declared(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("usassist.session.text_left.find_burnt_text", lambda images: np.ones(images[0].shape[:2], bool))
    written = export_dicom(open_session(recorded), tmp_path / "out", only=["cine"])
    for _, dataset in pairs(written, "cine"):
        assert dataset.BurnedInAnnotation == "YES"
        assert "Text may be burnt into these frames" in dataset.ImageComments


def test_the_cine_is_replayed_as_it_was_recorded(exported):
    written = exported["changing"]
    images = dict(written.content.images())
    for part, path in zip(written.content.parts, written.files["cine"], strict=True):
        with open_source(str(path), session_id="s", fast=True) as source:
            frames = list(source.frames())
        assert len(frames) == len(part.frame_indices)
        for frame, index in zip(frames, part.frame_indices, strict=True):
            np.testing.assert_array_equal(frame.image, images[index])
            assert frame.calibration_id == "scale_by_dicom"
            assert frame.spacing_rc_mm == pytest.approx(written.content.frames[index].spacing_rc_mm, rel=1e-12)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "session")


def test_a_session_that_was_never_closed_is_refused(killed, tmp_path):
    with pytest.raises(SessionError, match="session repair"):
        export_dicom(open_session(killed), tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_a_damaged_image_is_told_and_nothing_is_left(recorded, tmp_path):
    path = recorded / "frames.nut"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(SessionError, match=r"is damaged: .*; run usassist session verify"):
        export_dicom(open_session(recorded), tmp_path / "out")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("at", [3, 15, 30])
def test_ctrl_c_leaves_nothing(recorded, tmp_path, at):
    def interrupt(done: int, total: int) -> None:
        assert total == 36
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dicom(open_session(recorded), tmp_path / "out", only=["cine", "secondary"], on_step=interrupt)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("kind", ["cine", "secondary"])
def test_a_full_disk_is_one_line_and_leaves_nothing(recorded, tmp_path, monkeypatch, kind):
    def full(content: SweepContent, folder: Path, tick: object) -> list[Path]:
        (folder / "half.dcm").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(export.KINDS, kind, full)
    with pytest.raises(SessionError, match=r"the disk is full: .*out was not written; free some space"):
        export_dicom(open_session(recorded), tmp_path / "out", only=["cine", "secondary"])
    assert leftovers(tmp_path) == []


def test_wrong_targets_are_refused(recorded, tmp_path):
    session = open_session(recorded)
    with pytest.raises(UsageError, match="'cines' is no kind of object; known are cine, report"):
        export_dicom(session, tmp_path / "out", only=["cines"])
    with pytest.raises(UsageError, match="lies in the session"):
        export_dicom(session, recorded / "out", only=["cine"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thing").touch()
    with pytest.raises(SessionError, match="is there already; choose another --out"):
        export_dicom(session, tmp_path / "out", only=["cine"])
    assert leftovers(tmp_path) == ["out"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["usassist", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return int(ended.value.code or 0)


def test_the_command_writes_private_files_and_says_what(recorded, tmp_path, monkeypatch, capsys):
    study, out = tmp_path / "study.json", tmp_path / "out"
    write_study(study, STUDY)
    command = ("export", "dicom", recorded, "--out", out, "--only", "cine", "--study", study)
    assert run(monkeypatch, *command, "--json") == 0
    told = capsys.readouterr()
    said = json.loads(told.out)
    assert said["files"] == {"cine": ["cine.dcm", "cine_2.dcm"]}
    assert (said["frames"], said["names_patient"]) == (12, True)
    assert sorted(path.name for path in out.iterdir()) == ["cine.dcm", "cine_2.dcm"]
    assert {path.stat().st_mode & 0o777 for path in [*out.iterdir()]} == {0o600}
    assert out.stat().st_mode & 0o777 == 0o700
    assert run(monkeypatch, *command) == 1
    told = capsys.readouterr()
    assert told.err == f"usassist: {out} is there already; choose another --out\n"
    shutil.rmtree(out)
    assert run(monkeypatch, *command) == 0
    told = capsys.readouterr()
    assert "12 frames" in told.out
    assert "Erfunden" not in told.out + told.err
    assert "INVENTED" not in told.out + told.err


def test_a_missing_library_is_one_line(recorded, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "usassist.dicom.objects.report", None)
    assert run(monkeypatch, "export", "dicom", recorded, "--out", tmp_path / "out") == 2
    assert "pip install 'usassist[dicom]'" in capsys.readouterr().err
    assert leftovers(tmp_path) == []
