from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.worklist_studies import make_study
from usassist.app.worklist.content import read_content
from usassist.app.worklist.settle import Settling
from usassist.app.worklist.survey import Survey
from usassist.app.worklist.units import Unit, list_units, look_at, loose_slices
from usassist.dicom.network.store import StudyStore
from usassist.errors import SourceError


def unit_of(path: Path) -> Unit:
    return Unit(place=path.name, path=path, is_folder=path.is_dir())


def test_studies_are_folders_zips_and_single_files_and_all_else_is_counted(tmp_path: Path) -> None:
    make_study(tmp_path / "folder", "0.1")
    (tmp_path / "multi.dcm").write_bytes(b"x")
    (tmp_path / "no_suffix").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "head.nii.gz").write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w"):
        pass
    for name in ("notes.txt", ".hidden.dcm", "half.dcm.part", "copy.zip.tmp"):
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.dcm").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.dcm")
    look = list_units(tmp_path)
    assert [unit.place for unit in look.units] == ["folder", "head.nii.gz", "multi.dcm", "no_suffix", "packed.zip"]
    assert look.left_out == {"other_file": 2, "link": 2}


def test_of_a_receiver_only_complete_studies_are_taken(tmp_path: Path) -> None:
    store = StudyStore(tmp_path)
    store.keep("1.2.3", "1.2.3.4", b"half")
    store.keep("1.2.9", "1.2.9.4", b"whole")
    store.complete("1.2.9")
    assert [unit.place for unit in list_units(tmp_path).units] == ["studies/1.2.9"]


def test_links_to_folders_are_not_followed_and_changes_are_seen(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", "0.1")
    (study / "again").symlink_to(study)
    before = look_at(unit_of(study))
    assert before is not None
    assert before.count == 3
    assert look_at(unit_of(study)) == before
    (study / ".slice9.dcm.X1").write_text("a copy in progress")
    during = look_at(unit_of(study))
    assert during is not None
    assert during.count == 3, "a hidden file is no part of the study"
    assert during.signature != before.signature, "but the study is not at rest"


def test_a_folder_that_may_not_be_read_is_listed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path / "study", "0.1")

    def refuse(path: object) -> object:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr("usassist.app.worklist.units._walk", refuse)
    state = look_at(unit_of(study))
    assert state is not None
    assert state.count == 1


def test_a_study_is_at_rest_after_several_looks_and_a_quiet_time() -> None:
    settling = Settling(quiet_s=10.0, looks=3)
    assert not settling.see("a", "one", 0.0)
    assert not settling.see("a", "one", 50.0), "two looks are not enough"
    assert settling.see("a", "one", 51.0)
    assert not settling.see("a", "two", 52.0), "it has changed"
    assert not settling.see("a", "two", 53.0)
    assert not settling.see("a", "two", 61.0), "not for long enough"
    assert settling.see("a", "two", 62.0)


def test_a_look_at_many_studies_at_rest_reads_few_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        make_study(tmp_path / f"s{number:02}", "0.1", files=2, seed=number)
    survey = Survey(tmp_path, str, quiet_s=0.0)
    for _ in range(3):
        survey.look()
    assert all(item.at_rest for item in survey.found.values())
    looked: list[str] = []

    def counted(unit: Unit) -> object:
        looked.append(unit.place)
        return look_at(unit)

    monkeypatch.setattr("usassist.app.worklist.survey.look_at", counted)
    (tmp_path / "s45" / "late.dcm").write_text("one more")
    survey.look()
    assert "s45" in looked
    assert len(looked) <= 22
    assert not survey.found["s45"].at_rest
    for _ in range(3):
        survey.look()
    assert set(looked) == set(survey.found), "in turn each of them is looked at whole"


def test_contents_are_known_again_under_other_names_and_in_a_zip(tmp_path: Path) -> None:
    study = make_study(tmp_path / "KIM", "0.9")
    key = read_content(unit_of(study)).key
    study.rename(tmp_path / "LEE")
    study = tmp_path / "LEE"
    (study / "slice1.dcm").rename(study / "other.dcm")
    assert read_content(unit_of(study)).key == key
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for path in study.iterdir():
            archive.write(path, f"deep/{path.name}")
        archive.writestr("__MACOSX/.DS_Store", "no part of it")
    assert read_content(unit_of(tmp_path / "it.zip")).key == key
    (study / "one_more.dcm").write_text("grown")
    assert read_content(unit_of(study)).key != key


def test_a_damaged_zip_and_an_empty_folder_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", os.urandom(5000))
    data = bytearray(path.read_bytes())
    data[600:700] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="zip file is damaged"):
        read_content(unit_of(path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no file in it"):
        read_content(unit_of(tmp_path / "empty"))


def test_uids_count_studies_and_a_study_as_the_folder_is_noticed(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    study = tmp_path / "two"
    study.mkdir()
    for number, uid in enumerate(("1.2.1", "1.2.1", "1.2.2")):
        dataset = pydicom.Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.9.{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = uid, f"{uid}.5", "CT"
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.save_as(study / f"{number}.dcm", enforce_file_format=True)
    assert read_content(unit_of(study)).studies == 2
    assert not loose_slices(study)
    (study / "2.dcm").unlink()
    (study / "3.dcm").write_bytes((study / "1.dcm").read_bytes())
    assert loose_slices(study)
    assert not loose_slices(tmp_path)
