"""The result of a study that came as DICOM, as DICOM objects beside its other files: ``seg.dcm``, ``report.dcm``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from usassist import __version__
from usassist.common.private_files import sync_file
from usassist.dicom.common import write_dataset
from usassist.dicom.objects.content import EngineUsed
from usassist.dicom.objects.terms import Term
from usassist.engine.spec import INT8_ARTIFACT
from usassist.errors import DicomError, UsageError

if TYPE_CHECKING:
    from usassist.app.studies.answer import StudyOutcome

__all__ = ["write_dicom_objects"]

logger = logging.getLogger(__name__)


def write_dicom_objects(outcome: StudyOutcome, folder: Path, *, notes: Sequence[str] = ()) -> Sequence[str]:
    """Write the segmentation, where something was outlined, and the report. Returns the names of the files.

    Nothing is written for a study that was read from NIfTI. Where the images or the installation do not allow an
    object, that is logged with the reason, and the other files of the result stay what they are.

    Parameters
    ----------
    outcome : of the study, with its input
    folder : that has none of the files
    notes : further sentences for the report, without identity

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    if not outcome.input.slices:
        return ()
    try:
        from usassist.dicom.studies.report import make_report
        from usassist.dicom.studies.segmentation import make_segmentation
        from usassist.dicom.studies.source import SourceSeries, StudyContent
    except ModuleNotFoundError as error:
        logger.warning("no DICOM objects were written: %s is missing; run: pip install 'usassist[dicom]'", error.name)
        return ()
    names: list[str] = []
    try:
        content = StudyContent(
            study=outcome.input,
            result=outcome.result,
            labels={label.id: label.name for label in outcome.spec.labels},
            codes={label.id: Term(label.value, label.scheme, label.meaning) for label in outcome.spec.labels},
            engine=_engine(outcome),
            source=SourceSeries.read(outcome.input),
            thresholds={label.id: label.score_threshold for label in outcome.spec.labels},
            notes=(*_notes(outcome), *notes),
        )
        segmentation = make_segmentation(content) if content.labelled_planes() else None
        report = make_report(content, segmentation)
    except (DicomError, UsageError) as error:
        logger.warning("no DICOM objects were written: %s", error)
        return ()
    for name, dataset in (("seg.dcm", segmentation), ("report.dcm", report)):
        if dataset is not None:
            write_dataset(folder / name, dataset)
            sync_file(folder / name)
            names.append(name)
    return names


def _engine(outcome: StudyOutcome) -> EngineUsed:
    spec, result = outcome.spec, outcome.result
    artifact = INT8_ARTIFACT if outcome.precision == "int8" and INT8_ARTIFACT in spec.artifacts else "onnx"
    return EngineUsed(
        engine_id=result.engine_id,
        version=spec.version,
        backend=result.backend,
        precision=outcome.precision,
        intended_use=spec.intended_use,
        software_version=__version__,
        weights_sha256=spec.artifacts[artifact][1],
    )


def _notes(outcome: StudyOutcome) -> tuple[str, ...]:
    """At which score a label counts as found, where labels are scored."""
    scored = {item.label_id for item in outcome.result.answer.plane_scores} if outcome.result.answer else set()
    return tuple(
        f"{label.meaning or label.name}: a score of {label.score_threshold:g} or more counts as a finding."
        for label in outcome.spec.labels
        if label.id in scored
    )
