"""What happens to an attribute: the Basic Application Level Confidentiality Profile of DICOM PS3.15, table E.1-1.

The table is that of ``dicom-anonymizer`` (its edition 2026c); only the table is used. It says nothing about attributes
that it does not list, so for these there is a list of what may stay: numbers, codes in capitals, and a few technical
names. What is neither listed by the profile nor allowed here is removed, and so are private attributes, those that the
dictionary of pydicom does not know, groups 50xx and 60xx, and bytes that nobody can look into.

The choices that the profile leaves open (``X/Z/D`` and so on) depend on the type of the attribute in its object. Here
they are fixed for the few kinds of objects that are accepted: what is of type 2 is emptied, the rest is removed.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VM, keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from usassist.errors import UsageError

__all__ = ["EDITION", "TYPE_2", "Action", "action_of", "check_table", "is_plain", "is_registered", "name_of", "tag_of"]

EDITION = "2026c"
"""Edition of table E.1-1."""


class Action(StrEnum):
    """What is done to an attribute; the values are those of the report."""

    KEPT = "kept"
    REMOVED = "removed"
    EMPTIED = "emptied"
    UID = "uid replaced"
    REPLACED = "replaced"
    SHIFTED = "date shifted"
    ADDED = "added"
    INSIDE = "items cleaned"


def _tags(names: str) -> frozenset[int]:
    """Tags of keywords."""
    found = {name: tag_for_keyword(name) for name in names.split()}
    assert None not in found.values(), found
    return frozenset(tag for tag in found.values() if tag is not None)


TYPE_2 = _tags("StudyDate StudyTime AccessionNumber ReferringPhysicianName PatientBirthDate PatientSex StudyID")
"""Attributes of type 2 in every accepted object; they are there in the end, empty."""

_EMPTY_IF_THERE = _tags(
    "ContrastBolusAgent ContentDate ContentTime AcquisitionContextSequence PositionReferenceIndicator"
)
_OTHER_CONTENT = _tags(  # a small copy of the image, a recording, what stood there before
    "IconImageSequence WaveformSequence ModifiedAttributesSequence OriginalAttributesSequence"
)
_NUMBERS = frozenset({"AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
_TECHNICAL = _tags(
    "Manufacturer ManufacturerModelName SoftwareVersions "
    "CodeValue CodingSchemeDesignator CodingSchemeVersion CodeMeaning LongCodeValue "
    "ConvolutionKernel FilterType SequenceName ImagedNucleus ReceiveCoilName TransmitCoilName "
    "TransducerData ProcessingFunction RescaleType LUTExplanation ModalityLUTType LossyImageCompressionMethod"
)
_TABLES = _tags("LUTData LUTDescriptor")
_CODE = re.compile(r"[A-Z0-9_ ./+-]{0,16}")
_MOST_LETTERS = 64
_REMOVING = ("X_TAGS", "X_Z_TAGS", "X_D_TAGS", "X_Z_D_TAGS", "D_TAGS", "Z_TAGS", "Z_D_TAGS")
_REFERENCES = "X_Z_U_STAR_TAGS"  # their items hold nothing but references: cleaned like any item


def check_table() -> None:
    """Raise UsageError where the table is not installed."""
    _table()


def action_of(tag: BaseTag, vr: str) -> Action:
    """What happens to an attribute.

    Parameters
    ----------
    tag : of the attribute
    vr : its value representation

    Returns
    -------
    action : KEPT stands for "kept where :func:`is_plain` accepts the value"; UID for "replaced unless registered by
        DICOM"
    """
    number = int(tag)
    group = tag.group
    if tag.is_private or group & 0xFF00 in (0x5000, 0x6000) or tag.element == 0:
        return Action.REMOVED
    if (
        group == 0x0012 or number in _OTHER_CONTENT
    ):  # 0012: a clinical trial, and what an earlier de-identification wrote
        return Action.REMOVED
    if not dictionary_has_tag(tag) or vr == "UN":
        return Action.REMOVED
    if number in TYPE_2 or number in _EMPTY_IF_THERE:
        return Action.EMPTIED
    listed = _table().get((group, tag.element))
    if listed is Action.REMOVED:
        return Action.REMOVED
    if vr == "UI":
        return Action.UID
    if vr == "SQ":
        return Action.INSIDE
    if vr in _NUMBERS or vr == "CS" or number in _TECHNICAL or number in _TABLES:
        return Action.KEPT
    return Action.REMOVED


def is_plain(tag: BaseTag, vr: str, value: Any) -> bool:
    """True when a value may stay: it is what its value representation promises, and no free text.

    Parameters
    ----------
    value : as pydicom gives it, one or several
    """
    values = list(value) if hasattr(value, "__iter__") and not _is_text(value) else [value]
    if int(tag) not in _TABLES and not _has_right_count(tag, len(values)):
        return False  # bytes of a text, read as numbers
    if vr == "CS":
        return all(_CODE.fullmatch(str(item or "")) is not None for item in values)
    if int(tag) in _TECHNICAL:
        texts = [str(item or "") for item in values]
        return all(text.isascii() and text.isprintable() and len(text) <= _MOST_LETTERS for text in texts)
    if int(tag) in _TABLES:
        return True
    return vr in _NUMBERS and not any(_is_text(item) and item for item in values)


def is_registered(uid: str) -> bool:
    """True for a UID that DICOM itself has given: a class, a transfer syntax, never an object."""
    return UID(uid).name != uid


def name_of(tag: BaseTag) -> str:
    """Number and keyword, for a report: ``(0010,0010) PatientName``; never the value."""
    return f"({tag.group:04X},{tag.element:04X}) {keyword_for_tag(tag)}".rstrip()


def _has_right_count(tag: BaseTag, count: int) -> bool:
    """True where the dictionary allows so many values: ``1``, ``1-3``, ``1-n``, ``2-2n``."""
    low, _, high = dictionary_VM(tag).partition("-")
    most = high or low
    return count <= 1 or (int(low) <= count and (most.endswith("n") or count <= int(most)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


@cache
def _table() -> dict[tuple[int, int], Action]:
    """Attributes that the profile lists; ranges of groups are handled by :func:`action_of`."""
    try:
        from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
    except ImportError:
        raise UsageError(
            "de-identification needs the package dicom-anonymizer; install it with: pip install 'usassist[dicom]'"
        ) from None
    lists = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    table: dict[tuple[int, int], Action] = {}
    for category in _REMOVING:
        table.update({(int(tag[0]), int(tag[1])): Action.REMOVED for tag in lists[category] if len(tag) == 2})
    for category in ("U_TAGS", _REFERENCES):
        table.update({(int(tag[0]), int(tag[1])): Action.UID for tag in lists[category] if len(tag) == 2})
    return table


def tag_of(keyword: str) -> BaseTag:
    """The tag of a keyword of the dictionary."""
    return Tag(tag_for_keyword(keyword) or 0)
