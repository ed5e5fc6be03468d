"""The study that objects belong to: who was examined, for which order. It holds identity; its file is private."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from usassist.common.private_files import write_atomic
from usassist.dicom.uids import derived_uid
from usassist.errors import DicomError, UsageError

__all__ = ["StudyContext", "anonymous_study", "read_study", "write_study"]

_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_DATE = re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_SEXES = ("", "M", "F", "O")
# DICOM PS3.5 table 6.2-1: most characters of a value; names of persons have this for each component group.
_LONGEST = {
    "patient_name": 64,
    "patient_id": 64,
    "accession_number": 16,
    "study_id": 16,
    "study_description": 64,
    "referring_physician_name": 64,
    "station_name": 16,
    "requested_procedure_id": 16,
    "scheduled_procedure_step_id": 16,
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StudyContext:
    """Attributes of a study and its patient, as DICOM text; empty = not known, and then written empty.

    It has no ``repr``, so that no identity gets into a log.

    Attributes
    ----------
    patient_name, referring_physician_name : ``Family^Given^Middle^Prefix^Suffix``
    patient_id, accession_number, study_id, study_description, station_name : as the order has them
    patient_birth_date, study_date : ``YYYYMMDD``
    patient_sex : ``M``, ``F``, ``O``
    study_time : ``HHMMSS``, with fractions where they are known
    study_instance_uid : of the study that the objects belong to
    requested_procedure_id, scheduled_procedure_step_id : of the worklist's entry

    Raises
    ------
    UsageError
        If a value is none of DICOM's for it. The value itself is not in the message.
    """

    patient_name: str = ""
    patient_id: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    referring_physician_name: str = ""
    station_name: str = ""
    requested_procedure_id: str = ""
    scheduled_procedure_step_id: str = ""

    def __post_init__(self) -> None:
        """Check every value against its value representation (DICOM PS3.5 section 6.2)."""
        for name, longest in _LONGEST.items():
            value = getattr(self, name)
            groups = value.split("=") if name.endswith("_name") else [value]
            if len(groups) > 3 or any(len(group) > longest for group in groups):
                raise UsageError(f"{name} of the study is longer than DICOM allows ({longest} characters); shorten it")
            if "\\" in value or any(ord(character) < 32 for character in value):
                raise UsageError(f"{name} of the study has a backslash or a control character; remove it")
        for name in ("patient_birth_date", "study_date"):
            if getattr(self, name) and not _DATE.fullmatch(getattr(self, name)):
                raise UsageError(f"{name} of the study is no date; write it as YYYYMMDD")
        if self.study_time and not _TIME.fullmatch(self.study_time):
            raise UsageError("study_time of the study is no time of day; write it as HHMMSS")
        if self.patient_sex not in _SEXES:
            raise UsageError("patient_sex of the study is none of M, F, O; correct it or leave it empty")
        uid = self.study_instance_uid
        if uid and (len(uid) > 64 or not _UID.fullmatch(uid)):
            raise UsageError("study_instance_uid of the study is no UID; copy it from the order")

    @property
    def has_identity(self) -> bool:
        """True where it says who was examined, or by which order that can be found."""
        names = ("patient_name", "patient_id", "patient_birth_date", "accession_number")
        return any(getattr(self, name) for name in names)

    @property
    def is_ascii(self) -> bool:
        """True where every value is ASCII; else objects need a specific character set."""
        return all(value.isascii() for value in dataclasses.astuple(self))


def anonymous_study(session_id: str, begun_utc: str) -> StudyContext:
    """The study of a session that nobody has named one for: no identity, and a study UID from the session.

    Parameters
    ----------
    session_id : of the session
    begun_utc : when it began, ISO 8601; empty = not known
    """
    date, time = "", ""
    if begun_utc:
        try:
            begun = datetime.fromisoformat(begun_utc).astimezone(UTC)
        except ValueError as error:
            raise DicomError(
                f"the time at which session {session_id} began cannot be read; run usassist session verify"
            ) from error
        date, time = begun.strftime("%Y%m%d"), begun.strftime("%H%M%S")
    return StudyContext(study_instance_uid=derived_uid("study", session_id), study_date=date, study_time=time)


def read_study(path: Path) -> StudyContext:
    """Read a study from a JSON file, one key for each attribute that is known.

    Raises
    ------
    UsageError
        If it is missing, no such file, has no study UID, or a wrong value. No value of it is in the message.
    """
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {(error.strerror or 'error').lower()}; name a study's file"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no file of a study; usassist pacs worklist --write makes one") from error
    known = {item.name for item in dataclasses.fields(StudyContext)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UsageError(f"{path} has {len(unknown)} keys that no study has; known are {', '.join(sorted(known))}")
    if not values.get("study_instance_uid"):
        raise UsageError(f"{path} has no study_instance_uid; usassist pacs worklist --write fills it")
    return StudyContext(**values)


def write_study(path: Path, study: StudyContext, *, replace: bool = False) -> None:
    """Write a study as JSON, a file that only this user can read.

    Raises
    ------
    DicomError
        If the file exists and is not to be replaced, or cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(dataclasses.asdict(study)), indent=2)
    try:
        write_atomic(path, content, b"\n", replace=replace)
    except FileExistsError as error:
        raise DicomError(f"{path} already exists; choose another name or move it away") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DicomError(f"{path} cannot be written: {reason}; name another file or check its folder") from error
