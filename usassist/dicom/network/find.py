"""C-FIND at an archive (PS3.4 annex C, Study Root Query/Retrieve Information Model)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from usassist.dicom.network.association import NothingOfferedError, associated, load_pynetdicom, lost
from usassist.dicom.network.nodes import Match, Node, Query
from usassist.dicom.network.status import find_failure
from usassist.errors import ArchiveDownError, ArchiveError, ArchiveRefusedError, UsageError
from usassist.sources.dicom.header import PYDICOM_ERRORS

__all__ = ["answers", "checked_keys", "find_matches", "present_in_series", "text_of"]

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_VERIFICATION = "1.2.840.10008.1.1"
_PENDING = (0xFF00, 0xFF01)
_ASKED = {  # attributes that an answer should have, by level
    "STUDY": (
        "PatientName PatientID StudyDate StudyTime AccessionNumber ModalitiesInStudy StudyDescription StudyInstanceUID "
        "NumberOfStudyRelatedInstances"
    ),
    "SERIES": "StudyInstanceUID SeriesInstanceUID Modality SeriesDescription NumberOfSeriesRelatedInstances",
    "IMAGE": "StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID",
}


def find_matches(node: Node, query: Query) -> list[Match]:
    """Studies, series or objects; see :meth:`usassist.dicom.network.nodes.Archive.find`.

    Raises
    ------
    UsageError
        If the query lacks what its level needs (PS3.4 C.4.1.2.1: the unique keys of the levels above).
    """
    found = [_match(node, answer) for answer in answers(node, _STUDY_ROOT_FIND, _identifier(query), "a query")]
    # ModalitiesInStudy is an optional key: an archive may ignore it and answer with every study.
    if query.level == "STUDY" and query.modality and not set("*?") & set(query.modality):
        found = [match for match in found if not match.modality or query.modality in match.modality.split(",")]
    return found


def present_in_series(node: Node, study_uid: str, series_uid: str) -> set[str] | None:
    """SOP instance UIDs that the archive has of a series; None = it answers no queries.

    An archive that ends the connection at a query, as Orthanc does where queries are not allowed, is told from one that
    went down: it answers C-ECHO in between, and does it again.
    """
    query = Query(level="IMAGE", study_instance_uid=study_uid, series_instance_uid=series_uid)
    try:
        try:
            return {match.sop_instance_uid for match in find_matches(node, query)}
        except ArchiveDownError:
            _ask_whether_it_is_there(node)
        try:
            return {match.sop_instance_uid for match in find_matches(node, query)}
        except ArchiveDownError:
            _ask_whether_it_is_there(node)
    except (NothingOfferedError, _QueryFailedError):
        pass
    return None


def _ask_whether_it_is_there(node: Node) -> None:
    load_pynetdicom()
    from pynetdicom.presentation import build_context

    with associated(node, [build_context(_VERIFICATION)]) as association:
        if "Status" not in association.send_c_echo():
            raise lost(node, association, "a C-ECHO")


def answers(node: Node, model_uid: str, identifier: Dataset, doing: str) -> Iterator[Dataset]:
    """The data sets that match.

    Parameters
    ----------
    model_uid : SOP class of the query
    doing : for error messages
    """
    load_pynetdicom()
    from pynetdicom.presentation import build_context

    with associated(node, [build_context(model_uid)]) as association, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        for status, answer in association.send_c_find(identifier, model_uid):
            if "Status" not in status:
                raise lost(node, association, doing)
            code = int(status.Status)
            if code in _PENDING:
                if answer is None:
                    raise ArchiveError(f"{node.name} answered {doing} with what is no DICOM; ask who runs it")
                yield answer
            elif code & 0xFF00 == 0xA700:
                raise ArchiveDownError(f"{node.name} did not answer {doing}: {find_failure(code)}")
            elif code != 0:
                raise _QueryFailedError(f"{node.name} did not answer {doing}: {find_failure(code)}")


class _QueryFailedError(ArchiveRefusedError):
    """The archive answered a query with a failure."""


def text_of(node: Node, answer: Dataset, keyword: str) -> str:
    """The value of an attribute, several separated by commas; empty where there is none.

    Raises
    ------
    ArchiveError
        If it cannot be decoded. The value is not in the message.
    """
    try:
        value: Any = answer.get(keyword)
        if value is None:
            return ""
        if not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "components"):
            return ",".join(str(item) for item in value)
        return str(value)
    except PYDICOM_ERRORS:
        raise ArchiveError(f"{node.name} answered with a broken value of {keyword}; ask who runs it") from None


def checked_keys(keys: dict[str, str]) -> dict[str, str]:
    """The keys of a query that have a value, by keyword.

    Raises
    ------
    UsageError
        If a value has a backslash or a control character, which DICOM would take for several values, or is no UID where
        one is asked for. The value is not in the message.
    """
    for keyword, value in keys.items():
        if "\\" in value or not all(character.isprintable() for character in value):
            raise UsageError(f"{keyword} of a query has a backslash or a control character; correct it")
        if keyword.endswith("InstanceUID") and value and not re.fullmatch(r"[0-9.]{1,64}", value):
            raise UsageError(f"{keyword} of a query is no UID; usassist pacs find shows them")
        if len(value) > 64:
            raise UsageError(f"{keyword} of a query is longer than 64 characters; correct it")
    return {keyword: value for keyword, value in keys.items() if value}


def _identifier(query: Query) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = query.level
    for keyword in _ASKED[query.level].split():
        setattr(dataset, keyword, None)
    keys = {"StudyInstanceUID": query.study_instance_uid}
    if query.level == "STUDY":
        keys |= {
            "PatientID": query.patient_id,
            "AccessionNumber": query.accession_number,
            "StudyDate": query.study_date,
            "ModalitiesInStudy": query.modality,
        }
    else:
        keys |= {"SeriesInstanceUID": query.series_instance_uid}
        if not query.study_instance_uid or (query.level == "IMAGE" and not query.series_instance_uid):
            raise UsageError("series are looked for in one study, and objects in one series; give their UIDs")
        if query.level == "SERIES":
            keys |= {"Modality": query.modality}
        else:
            keys |= {"SOPInstanceUID": query.sop_instance_uid}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values; an archive may allow longer ones than DICOM
        for keyword, value in checked_keys(keys).items():
            setattr(dataset, keyword, value)
    if not all(value.isascii() for value in keys.values()):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset


def _match(node: Node, answer: Dataset) -> Match:
    def text(*keywords: str) -> str:
        return next((value for keyword in keywords if (value := text_of(node, answer, keyword))), "")

    count = text("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")
    return Match(
        patient_name=text("PatientName"),
        patient_id=text("PatientID"),
        study_date=text("StudyDate"),
        study_time=text("StudyTime"),
        accession_number=text("AccessionNumber"),
        modality=text("ModalitiesInStudy", "Modality").replace("\\", ","),
        description=text("StudyDescription", "SeriesDescription"),
        study_instance_uid=text("StudyInstanceUID"),
        series_instance_uid=text("SeriesInstanceUID"),
        sop_instance_uid=text("SOPInstanceUID"),
        sop_class_uid=text("SOPClassUID"),
        objects=int(count) if count.isdigit() else None,
    )
