"""Makes a new data set out of one with identity: only what the profile lets through is copied.

Every level of every sequence is handled alike. An element that cannot be decoded is not copied.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from usassist.dicom.deidentify.dates import shift_moments
from usassist.dicom.deidentify.key import Pseudonyms
from usassist.dicom.deidentify.profile import TYPE_2, Action, action_of, is_plain, is_registered, name_of, tag_of
from usassist.sources.dicom.header import PYDICOM_ERRORS

__all__ = ["TagLog", "clean_tags", "patient_of"]

_UID_VR, _SEQUENCE_VR = "UI", "SQ"
_REPLACED = frozenset(int(tag_of(keyword)) for keyword in ("PatientID", "PatientName"))
_CHARACTERS = tag_of("SpecificCharacterSet")
_MOST_DEPTH = 16


@dataclass(slots=True)
class TagLog:
    """What happened to the attributes of one object; never their values.

    Attributes
    ----------
    before, after : number of attributes, those in items included
    done : action → attribute → how many
    """

    before: int = 0
    after: int = 0
    done: dict[Action, Counter[str]] = field(default_factory=dict)

    def add(self, action: Action, tag: BaseTag) -> None:
        """Count one attribute."""
        name = "private" if tag.is_private else name_of(tag)
        self.done.setdefault(action, Counter())[name] += 1

    def count(self, *actions: Action) -> int:
        """How many attributes these actions were done to."""
        return sum(self.done.get(action, Counter()).total() for action in actions)


def patient_of(dataset: Dataset) -> str:
    """What a patient is recognised by inside one input: the ID, else name and birth date, else the study.

    The text is identity; it goes into :class:`Pseudonyms` and nowhere else.
    """
    for keywords in (("PatientID",), ("PatientName", "PatientBirthDate"), ("StudyInstanceUID",)):
        parts = []
        for keyword in keywords:
            try:
                parts.append(str(dataset.get(keyword, "") or "").strip())
            except PYDICOM_ERRORS:
                parts.append("")
        if any(parts):
            return "\0".join((keywords[0], *parts))
    return ""


def clean_tags(dataset: Dataset, pseudonyms: Pseudonyms, *, keep_dates: bool) -> tuple[Dataset, TagLog]:
    """A new data set without identity, and what was done.

    Parameters
    ----------
    dataset : without pixel data
    pseudonyms : of this run
    keep_dates : dates of acquisition are moved and not removed

    Returns
    -------
    clean : with new UIDs, a pseudonym for the patient, and every attribute of type 2
    log : what was done
    """
    log = TagLog()
    patient = patient_of(dataset)
    by = pseudonyms.shift(patient) if keep_dates else None
    clean = _clean(dataset, pseudonyms, by, log, 0)
    for tag in sorted(TYPE_2):
        if tag not in clean:
            clean.add_new(tag, dictionary_VR(tag), "")
            log.add(Action.ADDED, clean[tag].tag)
    name = pseudonyms.patient(patient)
    clean.PatientID, clean.PatientName = name, name
    for tag in _REPLACED:
        log.add(Action.REPLACED if tag in dataset else Action.ADDED, clean[tag].tag)
    log.after = _count(clean)
    return clean, log


def _clean(dataset: Dataset, pseudonyms: Pseudonyms, by: timedelta | None, log: TagLog, depth: int) -> Dataset:
    out = Dataset()
    moved = {} if by is None else {int(tag_of(keyword)): text for keyword, text in _moved(dataset, by).items()}
    for tag in list(dataset.keys()):
        log.before += 1
        if depth == 0 and int(tag) in _REPLACED:
            continue
        if tag == _CHARACTERS:
            log.add(Action.REMOVED, tag)  # what is left is ASCII
            continue
        try:
            element = dataset[tag]
            kept, action = _element(element, moved, pseudonyms, by, log, depth)
        except PYDICOM_ERRORS:
            kept, action = None, Action.REMOVED
        log.add(action, tag)
        if kept is not None:
            out.add(kept)
    return out


def _element(
    element: DataElement,
    moved: dict[int, str],
    pseudonyms: Pseudonyms,
    by: timedelta | None,
    log: TagLog,
    depth: int,
) -> tuple[DataElement | None, Action]:
    tag, vr = element.tag, element.VR
    if int(tag) in moved:
        return DataElement(tag, vr, moved[int(tag)]), Action.SHIFTED
    action = action_of(tag, vr)
    if action is Action.EMPTIED:
        return DataElement(tag, vr, Sequence() if vr == _SEQUENCE_VR else ""), action
    if action is Action.UID and vr == _UID_VR:
        return _with_new_uids(element, pseudonyms)
    if vr == _SEQUENCE_VR and action in (Action.INSIDE, Action.UID) and depth < _MOST_DEPTH:
        items = [_clean(item, pseudonyms, by, log, depth + 1) for item in element.value]
        return DataElement(tag, vr, Sequence(items)), Action.INSIDE
    if action is Action.KEPT and is_plain(tag, vr, element.value):
        return DataElement(tag, vr, element.value), action
    return None, Action.REMOVED


def _with_new_uids(element: DataElement, pseudonyms: Pseudonyms) -> tuple[DataElement, Action]:
    value = element.value
    olds = [value] if isinstance(value, str) or value is None else list(value)
    texts = [str(old or "").strip(" \0") for old in olds]
    news = [text if not text or is_registered(text) else pseudonyms.uid(text) for text in texts]
    action = Action.KEPT if news == texts else Action.UID
    return DataElement(element.tag, _UID_VR, news[0] if len(news) == 1 else news), action


def _moved(dataset: Dataset, by: timedelta) -> dict[str, str]:
    try:
        return shift_moments(dataset, by)
    except PYDICOM_ERRORS:
        return {}


def _count(dataset: Dataset) -> int:
    total = 0
    for element in dataset:
        total += 1
        if element.VR == _SEQUENCE_VR:
            total += sum(_count(item) for item in element.value)
    return total
