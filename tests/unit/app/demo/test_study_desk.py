"""A tab for studies behind its page: what is taken, opened and answered, by the processes that do it."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.ct_engine import NAME, install_ct_engine
from usassist.app.demo.answering import StoppedError
from usassist.app.demo.studies.answering import StudyAnswering, StudyChoice, StudyEngine, StudyReport
from usassist.app.demo.studies.bundle import read_overview
from usassist.app.demo.studies.desk import YOURS, StudyDesk, StudyOutcome
from usassist.app.demo.studies.findings import Line, StudyDocument
from usassist.app.demo.studies.routes import RESULT
from usassist.app.demo.studies.show import progress_share, progress_text, rows_of, study_limits_text, tab_note
from usassist.app.demo.studies.table import TABS
from usassist.app.demo.visits import Visits
from usassist.common.clock import MonotonicClock
from usassist.dicom.studies.series import write_series
from usassist.errors import UsageError, UsAssistError
from usassist.phantom.ct.head import HeadBleed, make_head
from usassist.phantom.ct.head_anatomy import Tissue
from usassist.volumes import Volume
from usassist.words import languages, load_words

CT = TABS["CT"]
ICH = dataclasses.replace(CT.module("ich"), engine=NAME)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of a small head with a bleed."""
    folder = tmp_path_factory.mktemp("series")
    bleed = HeadBleed(kind=Tissue.INTRAPARENCHYMAL, hu=70.0, semi_mm=(18.0, 18.0, 18.0))
    voxels, _, affine = make_head(0, (8, 128, 128), (16.0, 1.8, 1.8), [bleed])
    volume = Volume(
        session_id="s",
        source_id="ct0",
        series_id="phantom",
        modality="CT",
        voxels=voxels,
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )
    write_series(volume, folder / "dicom")
    return Path(shutil.make_archive(str(folder / "Smith^Jane"), "zip", folder / "dicom"))


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    install_ct_engine(folder)
    return folder


@pytest.fixture
def desk(tmp_path: Path, engines: Path) -> StudyDesk:
    (tmp_path / "visits").mkdir()
    tab = dataclasses.replace(CT, modules=(ICH,))
    visits = Visits(tmp_path / "visits", MonotonicClock())
    return StudyDesk(visits, StudyAnswering(tab, StudyEngine(engines=engines, threads=1)))


def give(desk: StudyDesk, visitor: str, path: Path, folder: Path) -> None:
    """As an upload comes: a file of Gradio's that is moved away."""
    folder.mkdir(exist_ok=True)
    desk.take_upload(visitor, str(shutil.copy(path, folder / path.name)))


@pytest.mark.slow
def test_an_upload_is_opened_answered_and_gone_with_its_visit(desk: StudyDesk, series: Path, tmp_path: Path) -> None:
    give(desk, "one", series, tmp_path / "given")
    assert list((tmp_path / "given").iterdir()) == []
    told: list[StudyReport] = []
    shown = desk.open("one", YOURS, told.append)
    assert (shown.state, shown.opened.line.shape_zyx) == ("none", (8, 128, 128))
    assert read_overview(shown.folder).state == "none"
    found = desk.answer("one", shown, StudyChoice(module="ich"), told.append)
    assert found.state == "finding"
    assert {"opening", "starting", "stage", "writing"} <= {report.stage for report in told}
    words = load_words("en", "study")
    assert all(progress_text(report, words) and 0.0 <= progress_share(report) <= 1.0 for report in told)
    overview = read_overview(found.folder)
    assert overview.marks
    assert overview.first in overview.marks
    document = json.loads((found.folder / RESULT / "result.json").read_bytes())
    assert document["state"] == "finding"
    with (found.folder / RESULT / "measurements.csv").open(newline="") as file:
        rows = {(row["measurement"], row["label"]): row for row in csv.DictReader(file)}
    volume = rows["haemorrhage_volume", "haemorrhage"]
    assert float(volume["value"]) == pytest.approx(4 / 3 * np.pi * 1.8**3, rel=0.3)
    assert volume["u95"] == ""
    assert volume["reason"]
    assert "Smith" not in " ".join(str(path) for path in (tmp_path / "visits").rglob("*"))
    desk.visits.end("one")
    assert [path.name for path in (tmp_path / "visits").glob("visit-*")] == [desk.visits.shared.folder.name]


def test_what_cannot_be_opened_is_refused_without_its_name_and_leaves_nothing(desk: StudyDesk, tmp_path: Path) -> None:
    path = tmp_path / "Smith^Jane.dcm"
    path.write_bytes(b"nothing of DICOM" * 20)
    give(desk, "one", path, tmp_path / "given")
    with pytest.raises(UsAssistError) as told:
        desk.open("one", YOURS, lambda now: None)
    assert "Smith" not in str(told.value)
    assert str(tmp_path) not in str(told.value)
    desk.drop_upload("one")
    assert desk.visits.of("one").study_stop.is_set()
    assert list(desk.visits.of("one").folder.iterdir()) == []
    with pytest.raises(UsageError, match="upload one"):
        desk.open("one", YOURS, lambda now: None)


def test_stopping_leaves_no_answer(desk: StudyDesk, series: Path, tmp_path: Path) -> None:
    give(desk, "one", series, tmp_path / "given")

    def stop(now: StudyReport) -> None:
        desk.stop("one")

    with pytest.raises(StoppedError):
        desk.open("one", YOURS, stop)
    assert [path.name[:9] for path in desk.visits.of("one").folder.iterdir()] == ["studyfile"]


def test_only_what_the_module_has_is_asked_of_it() -> None:
    desk = StudyDesk.__new__(StudyDesk)
    desk.tab = CT
    given = {"level": "auto", "height": "", "cutoffs": "none"}
    assert desk.choice("ich", given) == StudyChoice(module="ich")
    assert desk.choice("bodycomp", given).options == {}
    asked = desk.choice("bodycomp", given | {"level": "L1", "height": "1,75"})
    assert asked.options == {"level": "L1", "height": 1.75}
    for module, values, told in (
        ("mri", {}, "no module"),
        ("bodycomp", {"depth": 1}, "no option"),
        ("bodycomp", {"level": "C7"}, "level must be one of"),
        ("bodycomp", {"height": 178}, "from 0.5 to 2.5"),
        ("bodycomp", {"height": "nan"}, "from 0.5 to 2.5"),
    ):
        with pytest.raises(UsageError, match=told):
            desk.choice(module, values)


def test_what_is_not_known_says_so_and_is_never_a_zero() -> None:
    words = load_words("en", "study")
    lines = [
        Line(name="haemorrhage_volume", label="haemorrhage", value=24.44, unit="mL", u95=3.0, reason=""),
        Line(name="haemorrhage_volume", label="", value=None, unit="mL", u95=None, reason="the spacing is not known"),
        Line(name="fat_mean_l3", label="", value=-101.2, unit="[hnsf'U]", u95=None, reason="not measured yet"),
    ]
    assert rows_of(lines, words) == [
        ["haemorrhage volume", "haemorrhage", "24.4 ml", "21.4 to 27.4", ""],
        ["haemorrhage volume", "–", "not measured", "–", "the spacing is not known"],
        ["fat mean l3", "–", "-101 HU", "–", "not measured yet"],
    ]


def test_a_question_that_failed_has_no_result_whatever_was_found_before() -> None:
    document = StudyDocument(state="no_finding", reason="", engine="e", backend="b", seconds=1.0)
    shown = StudyOutcome(item="head_normal", opened=None, folder=Path(), document=document)  # type: ignore[arg-type]
    assert (shown.state, shown.reason) == ("no_finding", "")
    failed = dataclasses.replace(shown, failed="it has contrast")
    assert (failed.state, failed.reason) == ("no_result", "it has contrast")


def test_a_machine_without_the_engine_says_so_in_every_language() -> None:
    missing = dataclasses.replace(ICH, engine="not_here")
    for code in languages():
        words = load_words(code, "study")
        assert "not\\_here" in tab_note(dataclasses.replace(CT, modules=(missing,)), words)
        assert "200" in study_limits_text(words)
        assert all(words.known(f"item.{name}") for name in CT.simulated)
        assert all(
            words.known(f"module.{module.name}") and words.known(f"marks.{module.name}") for module in CT.modules
        )
        assert all(words.known(f"setup.{option.name}") for option in CT.options)
        assert all(words.known(f"window.{preset.name}") for preset in CT.presets)


def test_one_study_is_answered_at_a_time_and_the_others_can_leave_the_queue(desk: StudyDesk, series: Path) -> None:
    stop, told = threading.Event(), []

    def report(now: StudyReport) -> None:
        told.append(now.stage)
        stop.set()

    with desk.answering._one_at_a_time, pytest.raises(StoppedError):
        desk.answering.answer(None, Path("nowhere"), StudyChoice(module="ich"), stop=stop, report=report)  # type: ignore[arg-type]
    assert told == ["waiting"]
