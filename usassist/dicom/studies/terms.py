"""Coded terms of studies: what a segment is, what was measured, and how a study was answered.

Codes of DCM, SCT, LN and UCUM are those of DICOM PS3.16; where one belongs to a context group, that is named. What the
standard has no code for has one of our own, as in ``dicom/objects/terms.py``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from usassist.dicom.objects.terms import ABNORMAL_STRUCTURE, CAUSE, MEASUREMENT_METHOD, MM, MM2, ONE, PERCENT, Term, own
from usassist.records import ResultState
from usassist.volumes import StudyCause

__all__ = [
    "CAUSE",
    "CAUSES",
    "MEASUREMENT_METHOD",
    "SEGMENTS",
    "UNITS",
    "Quantity",
    "Segment",
    "quantity_of",
    "segment_of",
    "unit_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What a label of an engine is.

    Attributes
    ----------
    title : for people
    category : segmented property category, CID 7150
    kind : segmented property type, of the context group that goes with the category where it has the meaning
    modifiers : of the type
    site : where it is
    rgb : recommended display colour
    """

    title: str
    category: Term
    kind: Term
    modifiers: tuple[Term, ...] = ()
    site: Term | None = None
    rgb: tuple[int, int, int] = (255, 64, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a measurement is.

    Attributes
    ----------
    name : of the measurement
    derivation : how it comes from the values of the voxels, CID 7464; None where it does not
    method : how it was computed; None where there is only one
    """

    name: Term
    derivation: Term | None = None
    method: Term | None = None


_TISSUE = Term("85756007", "SCT", "Tissue")  # CID 7150
_ANATOMY = Term("91723000", "SCT", "Anatomical Structure")  # CID 7150
_UNCODED = own("ENGINE_LABEL", "Label of the engine that has no code")
_HEMORRHAGE = Term("50960005", "SCT", "Hemorrhage")  # CID 7159
_FAT = Term("55603005", "SCT", "Fat")  # CID 7166
_BONE = Term("3138006", "SCT", "Bone")  # CID 7166
_INTRACRANIAL = Term("1101003", "SCT", "Intracranial")  # CID 4


def _hemorrhage(title: str, *modifiers: Term, rgb: tuple[int, int, int]) -> Segment:
    return Segment(
        title=title,
        category=ABNORMAL_STRUCTURE,
        kind=_HEMORRHAGE,
        modifiers=modifiers,
        site=_INTRACRANIAL,
        rgb=rgb,
    )


def _tissue(title: str, kind: Term, *modifiers: Term, rgb: tuple[int, int, int]) -> Segment:
    return Segment(title=title, category=_TISSUE, kind=kind, modifiers=modifiers, rgb=rgb)


SEGMENTS: Mapping[str, Segment] = MappingProxyType(
    {
        "haemorrhage": _hemorrhage("Haemorrhage", rgb=(230, 60, 50)),
        "intraparenchymal": _hemorrhage(
            "Intraparenchymal haemorrhage", own("INTRAPARENCHYMAL", "Within the brain tissue"), rgb=(230, 60, 50)
        ),
        "intraventricular": _hemorrhage(
            "Intraventricular haemorrhage", own("INTRAVENTRICULAR", "Within the ventricles"), rgb=(240, 150, 40)
        ),
        "extra_axial": _hemorrhage(
            "Extra-axial haemorrhage", own("EXTRA_AXIAL", "Outside the brain tissue"), rgb=(200, 60, 200)
        ),
        # Skeletal muscle is of CID 8134; CID 7166 has muscle of any kind alone, and is extensible.
        "skeletal_muscle": _tissue("Skeletal muscle", Term("127954009", "SCT", "Skeletal muscle"), rgb=(200, 60, 60)),
        "subcutaneous_fat": _tissue(
            "Subcutaneous fat", _FAT, own("SUBCUTANEOUS", "Between skin and abdominal wall"), rgb=(250, 210, 90)
        ),
        "visceral_fat": _tissue("Visceral fat", _FAT, own("VISCERAL", "Within the abdominal wall"), rgb=(240, 150, 40)),
        "intermuscular_fat": _tissue(
            "Intermuscular fat", _FAT, own("INTERMUSCULAR", "Between and within muscles"), rgb=(90, 190, 120)
        ),
        "abdominal_wall": Segment(
            title="Abdominal wall",
            category=_ANATOMY,
            kind=Term("1142228004", "SCT", "Abdominal wall muscle"),  # CID 7154
            rgb=(150, 90, 60),
        ),
        "body": Segment(
            title="Body",
            category=_ANATOMY,
            kind=Term("22943007", "SCT", "Trunk"),
            rgb=(120, 160, 220),  # CID 8134
        ),
        "bone": _tissue("Bone", _BONE, rgb=(235, 235, 215)),
    }
)
"""Label of an engine → what it is."""

STATE = own("STUDY_STATE", "Answer of the program on this series")
STATES = {
    ResultState.FINDING: own("FINDING", "Finding: it found something"),
    ResultState.NO_FINDING: own("NO_FINDING_STUDY", "Answered, and the program found nothing"),
    ResultState.NO_RESULT: own("NO_RESULT", "NO RESULT: this series was not assessed"),
}
MEASURED = own("MEASURED_STUDY", "Answered: outlined and measured")
"""State of a study whose labels are no abnormality, so that its outlines are no finding."""
WHICH = own("WHICH", "Which")
FOUND = own("FOUND", "Whether its score reaches its threshold")
FOUND_STATES = {
    True: own("IS_FOUND", "Found: the score reaches the threshold"),
    False: own("NOT_FOUND", "NOT FOUND: the score is below the threshold"),
}
CAUSES: Mapping[StudyCause, Term] = MappingProxyType(
    {
        StudyCause.ENGINE_ERROR: own("ENGINE_ERROR", "The engine failed"),
        StudyCause.NULL_ENGINE: own("NO_ENGINE", "No engine was running"),
        StudyCause.INTERRUPTED: own("INTERRUPTED", "The run was stopped"),
        StudyCause.BAD_INPUT: own("BAD_INPUT", "The series is not one that can be assessed"),
    }
)
WHY_NOT = own("WHY_NOT", "Why there is no value or no uncertainty")
PLANES_COUNT = own("PLANES", "Planes of the series")
PLANES = Term("{planes}", "UCUM", "planes")
PLANE_SCORE = own("PLANE_SCORE", "Score of this image, not calibrated")
SERIES = own("SERIES", "The series and how it was answered")
OUTLINED = own("OUTLINED", "Whether it was outlined")
OUTLINED_STATES = {
    True: own("IS_OUTLINED", "Outlined"),
    False: own("NOT_OUTLINED", "Not outlined: no voxel is marked as this"),
}
MEASUREMENT_FAILURE = Term("114006", "DCM", "Measurement failure")  # CID 42
CT_PROCEDURE = Term("77477000", "SCT", "Computed tomography")
MR_PROCEDURE = Term("113091000", "SCT", "Magnetic resonance imaging")
DERIVATION = Term("121401", "DCM", "Derivation")  # TID 300
SITE = Term("363698007", "SCT", "Finding Site")  # TID 300
MEAN = Term("373098007", "SCT", "Mean")  # CID 7464
VOXELS_SUMMED = Term("126030", "DCM", "Sum of segmented voxel method for volume")  # CID 7474

LEVELS: Mapping[str, Term] = MappingProxyType(
    {
        "t11": Term("12989004", "SCT", "T11 vertebra"),  # CID 7602
        "t12": Term("23215003", "SCT", "T12 vertebra"),
        "l1": Term("66794005", "SCT", "L1 vertebra"),
        "l2": Term("14293000", "SCT", "L2 vertebra"),
        "l3": Term("36470004", "SCT", "L3 vertebra"),
        "l4": Term("11994002", "SCT", "L4 vertebra"),
        "l5": Term("49668003", "SCT", "L5 vertebra"),
    }
)
"""Vertebra → the site at which something was measured."""

UNITS: Mapping[str, Term] = MappingProxyType(
    {
        "mL": Term("mL", "UCUM", "milliliter"),
        "mm": MM,
        "mm2": MM2,
        "cm2": Term("cm2", "UCUM", "square centimeter"),
        "cm2/m2": Term("cm2/m2", "UCUM", "square centimeter per square meter"),
        "m": Term("m", "UCUM", "meter"),
        "kg": Term("kg", "UCUM", "kilogram"),
        "[hnsf'U]": Term("[hnsf'U]", "UCUM", "Hounsfield unit"),
        "%": PERCENT,
        "1": ONE,
    }
)

_QUANTITIES: tuple[tuple[str, Quantity], ...] = (
    (r"volume", Quantity(name=Term("118565006", "SCT", "Volume"), method=VOXELS_SUMMED)),  # CID 7472
    (r"area", Quantity(name=Term("42798000", "SCT", "Area"))),  # CID 7471
    (
        r"(mean_hu|hu_mean|mean_attenuation|density)",
        Quantity(name=Term("112031", "DCM", "Attenuation Coefficient"), derivation=MEAN),  # CID 7180
    ),
    (r"(study_)?probability", Quantity(name=Term("111012", "DCM", "Certainty of Finding"))),
    (r"(study_)?score", Quantity(name=own("STUDY_SCORE", "Score of the series, not calibrated"))),
    (
        r"(smi|skeletal_muscle_index|muscle_index)",
        Quantity(name=own("SMI", "Skeletal muscle index: area by squared height")),
    ),
    (r"(body_|patient_)?height", Quantity(name=Term("8302-2", "LN", "Patient Height"))),
)
_LEVEL = re.compile(r"(?:^|_)(?:at_)?(t1[12]|l[1-5])(?:$|_)")
_LONGEST = 16  # characters of a code value (SH)


def segment_of(label: str, code: Term | None = None) -> Segment:
    """What a label is.

    Parameters
    ----------
    label : name of it in the engine
    code : of it in the engine. It is taken where the name is none of :data:`SEGMENTS`, under a category that says so;
        without one the name is the code
    """
    known = SEGMENTS.get(label)
    if known is not None:
        return known
    title = _title(label)
    return Segment(title=title, category=_UNCODED, kind=code or own(_code(label), title))


def quantity_of(name: str, label: str = "", unit: str = "") -> tuple[Quantity, Term | None]:
    """What a measurement is, and the vertebra at which it was made.

    Parameters
    ----------
    name : of the measurement, for example ``haemorrhage_volume`` or ``area_l3``
    label : of the engine, which may stand at the beginning of `name`
    unit : of the measurement, UCUM
    """
    found = _LEVEL.search(name)
    level = None if found is None else LEVELS[found[1]]
    whole = name if found is None else (name[: found.start()] + "_" + name[found.end() :]).strip("_")
    short = whole[len(label) + 1 :] if label and whole.startswith(f"{label}_") else whole
    if short == "mean" and unit == "[hnsf'U]":
        short = "mean_hu"
    for candidate in (whole, short):
        for pattern, quantity in _QUANTITIES:
            if re.fullmatch(pattern, candidate):
                return quantity, level
    return Quantity(name=own(_code(short), _title(short))), level


def unit_of(code: str) -> Term:
    """A UCUM code with a meaning; without a known one the code is its own meaning."""
    return UNITS.get(code) or Term(code[:_LONGEST], "UCUM", code[:64])


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()[:64]


def _code(name: str) -> str:
    """A code value from a name; a long one is cut and keeps a digest, so that two names never share a code."""
    code = name.upper()
    return code if len(code) <= _LONGEST else f"{code[:9]}_{hashlib.sha256(name.encode()).hexdigest()[:6].upper()}"
