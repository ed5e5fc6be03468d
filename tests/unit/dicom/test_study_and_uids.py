import dataclasses
import logging
import stat

import pytest

from usassist.dicom.study import StudyContext, anonymous_study, read_study, write_study
from usassist.dicom.uids import derived_uid, keyed_uid
from usassist.errors import DicomError, UsageError

STUDY = StudyContext(
    patient_name="Testperson^Erfunden",
    patient_id="INVENTED-0001",
    patient_birth_date="19700101",
    patient_sex="F",
    accession_number="ACC-TEST-1",
    study_instance_uid="1.2.3.4",
)


def test_same_parts_give_the_same_uid_and_others_another():
    assert derived_uid("a", "b") == derived_uid("a", "b")
    others = {derived_uid("a", "b"), derived_uid("ab", ""), derived_uid("", "ab"), derived_uid("a", "b", "")}
    assert len(others) == 4
    for uid in others:
        root, number = uid.rsplit(".", 1)
        assert root == "2.25"
        assert len(uid) <= 64
        assert int(number).bit_length() <= 128
        assert number == str(int(number))


def test_keyed_uids_follow_the_key():
    key = bytes(range(32))
    assert keyed_uid(key, "1.2.3") == keyed_uid(key, "1.2.3")
    assert keyed_uid(key, "1.2.3") != keyed_uid(key[::-1], "1.2.3")
    assert keyed_uid(key, "1.2.3") != keyed_uid(key, "1.2.4")
    with pytest.raises(ValueError, match="16 bytes"):
        keyed_uid(b"short", "1.2.3")


def test_a_study_is_written_for_this_user_alone_and_read_back(tmp_path):
    path = tmp_path / "study.json"
    write_study(path, STUDY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_study(path) == STUDY
    with pytest.raises(DicomError, match="already exists"):
        write_study(path, STUDY)
    write_study(path, dataclasses.replace(STUDY, patient_id="INVENTED-0002"), replace=True)
    assert read_study(path).patient_id == "INVENTED-0002"


def test_without_a_study_there_is_no_identity():
    study = anonymous_study("some-session", "2026-03-14T23:30:00+01:00")
    assert not study.has_identity
    assert (study.study_date, study.study_time) == ("20260314", "223000")
    assert study.study_instance_uid == anonymous_study("some-session", "").study_instance_uid
    assert STUDY.has_identity


def test_identity_is_in_no_text_of_a_study(caplog):
    logging.getLogger("test").warning("%s %r", STUDY, STUDY)
    assert "Erfunden" not in caplog.text
    assert "INVENTED" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient_name", "Secret" * 20),
        ("patient_id", "SECRET\\1"),
        ("patient_id", "SECRET\n"),
        ("patient_birth_date", "SECRET"),
        ("patient_birth_date", "19701301"),
        ("study_time", "990000"),
        ("patient_sex", "SECRET"),
        ("accession_number", "SECRET-0123456789"),
        ("study_instance_uid", "1.2.03"),
    ],
)
def test_wrong_values_are_refused_and_not_quoted(name, value):
    with pytest.raises(UsageError, match=name) as caught:
        dataclasses.replace(STUDY, **{name: value})
    assert "secret" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "no file of a study"),
        ('{"patient_name": 7}', "no file of a study"),
        ("{}", "no study_instance_uid"),
        ('{"study_instance_uid": "1.2.3", "patient": "SECRET"}', "1 keys that no study has"),
    ],
)
def test_a_file_that_is_no_study_is_refused_without_its_content(tmp_path, content, told):
    path = tmp_path / "study.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=told) as caught:
        read_study(path)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_study(tmp_path / "missing.json")
