"""Which DICOM objects are de-identified: images whose pixels can be searched. All others are refused by name."""

from __future__ import annotations

from enum import StrEnum

from pydicom import Dataset
from pydicom.uid import UID

from usassist.dicom.deidentify.refused import RefusedError
from usassist.sources.dicom.header import PYDICOM_ERRORS

__all__ = ["Kind", "kind_of"]


class Kind(StrEnum):
    """How the pixels of an object are cleaned."""

    ULTRASOUND = "ultrasound"
    SLICE = "slice"


_STORAGE = "1.2.840.10008.5.1.4.1.1."
_ULTRASOUND = frozenset(_STORAGE + tail for tail in ("3", "3.1", "6", "6.1"))
_SLICES = {_STORAGE + "2": "CT", _STORAGE + "4": "MR"}
_CAPTURES = frozenset(_STORAGE + tail for tail in ("7", "7.2", "7.3", "7.4"))
_SCREENS = frozenset({"SCREEN SAVE", "DOSE", "DOSE_INFO", "DOSEREPORT", "PROTOCOL"})


def kind_of(dataset: Dataset) -> Kind:
    """The kind of an object.

    Raises
    ------
    RefusedError
        If objects of its class are not de-identified.
    """
    try:
        sop_class = str(dataset.get("SOPClassUID", "") or "")
        modality = str(dataset.get("Modality", "") or "")
        image_type = {str(part).upper() for part in dataset.get("ImageType", None) or ()}
    except PYDICOM_ERRORS:
        raise RefusedError("its header does not say what it is") from None
    if sop_class in _ULTRASOUND and modality == "US":
        return Kind.ULTRASOUND
    if sop_class in _CAPTURES:
        if modality == "US":
            return Kind.ULTRASOUND
        raise RefusedError("a secondary capture, as screens and dose sheets are: its text is its content")
    if _SLICES.get(sop_class) == modality and modality:
        if image_type & _SCREENS:
            raise RefusedError("a saved screen or a dose sheet: its text is its content")
        return Kind.SLICE
    name = UID(sop_class).name
    if not sop_class or name == sop_class:
        raise RefusedError("an object of an unknown kind")
    raise RefusedError(f"{name.removesuffix(' Storage')} is not de-identified, only ultrasound, CT and MR images are")
