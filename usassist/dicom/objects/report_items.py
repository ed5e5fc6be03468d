"""Content items of the structured report: a number with its uncertainty, a coded statement with its origin, a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    ImageContentItem,
    Measurement,
    NumContentItem,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    TextContentItem,
)
from pydicom.dataset import Dataset

from usassist.dicom.objects import terms
from usassist.dicom.objects.content import FrameReference
from usassist.dicom.objects.terms import Term

__all__ = ["coded", "comment", "image_item", "make_evaluation", "make_number", "nameless"]

_MODIFIER = RelationshipTypeValues.HAS_CONCEPT_MOD
_PROPERTY = RelationshipTypeValues.HAS_PROPERTIES


def coded(term: Term) -> CodedConcept:
    """The term as highdicom takes it."""
    return CodedConcept(term.value, term.scheme, term.meaning)


def make_number(
    name: Term,
    value: float,
    unit: Term,
    *,
    lower: float | None = None,
    upper: float | None = None,
    modifier: tuple[Term, Term] | None = None,
    coordinates: Sequence[CoordinatesForMeasurement] = (),
    images: Sequence[SourceImageForMeasurement] = (),
) -> Measurement:
    """A measurement (DICOM PS3.16 TID 300), its uncertainty as TID 310 has it, in the unit of the value.

    Parameters
    ----------
    name, unit : of the measurement
    value : is kept exactly, as a float64 (0040,A161) beside the decimal string
    lower, upper : distances from the value to the ends of its 95 % interval; None = not known
    modifier : name and value of a code that says of what this is a measurement
    coordinates, images : that it was measured on
    """
    measurement = Measurement(
        name=coded(name),
        value=float(value),
        unit=coded(unit),
        referenced_coordinates=list(coordinates) or None,
        referenced_images=list(images) or None,
    )
    item = measurement[0]
    more: list[ContentItem] = []
    if modifier is not None:
        more.append(CodeContentItem(coded(modifier[0]), coded(modifier[1]), _MODIFIER))
    for term, distance in ((terms.UPPER_UNCERTAINTY, upper), (terms.LOWER_UNCERTAINTY, lower)):
        if distance is not None:
            uncertainty = NumContentItem(coded(term), float(distance), coded(unit), relationship_type=_PROPERTY)
            method = CodeContentItem(coded(terms.MEASUREMENT_METHOD), coded(terms.INTERVAL_95), _MODIFIER)
            uncertainty.ContentSequence = ContentSequence([method])
            more.append(uncertainty)
    if more:
        item.ContentSequence = ContentSequence([*more, *item.get("ContentSequence", ())])
    return measurement


def make_evaluation(
    name: Term, value: Term, *, basis: Term | None = None, properties: Iterable[ContentItem] = ()
) -> QualitativeEvaluation:
    """A coded statement, where its value comes from, and what is known about it."""
    evaluation = QualitativeEvaluation(coded(name), coded(value))
    more: list[ContentItem] = []
    if basis is not None:
        more.append(CodeContentItem(coded(terms.BASIS), coded(basis), _MODIFIER))
    more.extend(properties)
    if more:
        evaluation[0].ContentSequence = ContentSequence(more)
    return evaluation


def property_number(name: Term, value: float, unit: Term) -> NumContentItem:
    """A number about a coded statement."""
    return NumContentItem(coded(name), float(value), coded(unit), relationship_type=_PROPERTY)


def property_text(name: Term, value: str) -> TextContentItem:
    """A text about a coded statement."""
    return TextContentItem(coded(name), value, relationship_type=_PROPERTY)


def comment(text: str) -> TextContentItem:
    """A comment that stands in a container."""
    return TextContentItem(coded(terms.COMMENT), text, relationship_type=RelationshipTypeValues.CONTAINS)


def nameless(dataset: Dataset) -> Dataset:
    """The same object without names of people, for highdicom: it warns of unusual ones with the name itself."""
    copy = Dataset()
    copy.update(dataset)
    for keyword in ("PatientName", "ReferringPhysicianName"):
        delattr(copy, keyword)  # its elements are those of the object, which are not changed
        setattr(copy, keyword, None)
    return copy


def image_item(reference: FrameReference) -> ImageContentItem:
    """The frame from which a coded statement was made."""
    return ImageContentItem(
        name=coded(terms.SOURCE_OF_MEASUREMENT),
        referenced_sop_class_uid=reference.sop_class_uid,
        referenced_sop_instance_uid=reference.sop_instance_uid,
        referenced_frame_numbers=[reference.frame_number],
        relationship_type=RelationshipTypeValues.INFERRED_FROM,
    )
