"""The report of a sweep for people, as an Encapsulated PDF (DICOM PS3.3 A.45.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from usassist.dicom.common import base_dataset, code_item, equipment_items, local_time, set_moment, short_text
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, SweepContent
from usassist.dicom.objects.pdf_pages import MOST_PICTURES, draw_pages
from usassist.dicom.objects.segmentation import wanted_images
from usassist.dicom.objects.shown import list_shown
from usassist.words import load_words

__all__ = ["draw_pdf", "make_pdf"]


def draw_pdf(content: SweepContent) -> bytes:
    """The PDF alone.

    Raises
    ------
    DicomError
        If the pixels of a best frame cannot be read.
    """
    shown = list_shown(content)
    best = [item for item in shown if item.is_best]
    most = sorted(best, key=lambda item: -item.nodule.frames)[:MOST_PICTURES]
    pictured = [item for item in best if item in most]
    images = wanted_images(content, {item.section.frame_index for item in pictured})
    return draw_pages(content, shown, pictured, images, load_words("en", "report"))


def make_pdf(content: SweepContent) -> Dataset:
    """The PDF as an object that refers to the cine.

    Parameters
    ----------
    content : of the sweep

    Raises
    ------
    DicomError
        If the pixels of a best frame cannot be read.
    """
    document = draw_pdf(content)
    dataset = base_dataset(
        content,
        sop_class_uid=EncapsulatedPDFStorage,
        sop_instance_uid=content.uid("pdf"),
        kind="pdf",
        modality="DOC",
        description="Report as PDF",
    )
    set_moment(dataset, "Content", local_time(content, 1e3 * content.length_s))
    dataset.AcquisitionDateTime = local_time(content).strftime("%Y%m%d%H%M%S.%f%z")
    dataset.ConversionType = "WSD"
    has_text = content.study.has_identity or not content.text_free
    dataset.BurnedInAnnotation = "YES" if has_text else "NO"
    dataset.DocumentTitle = short_text("Report of a thyroid ultrasound sweep (research use)")
    dataset.ConceptNameCodeSequence = [code_item("18748-4", "LN", "Diagnostic imaging report")]
    dataset.SourceInstanceSequence = [_reference(content.cine_uid(part)) for part in content.parts]
    dataset.ContributingEquipmentSequence = equipment_items(content, "drew the report", engine=True)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return dataset


def _reference(sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ULTRASOUND_MULTI_FRAME, sop_instance_uid
    return item
