"""The folder of a study's result, which appears whole or not at all."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from usassist import __version__
from usassist.app.studies.dicom_objects import write_dicom_objects
from usassist.app.studies.document import (
    DOCUMENT_VERSION,
    EngineOfStudy,
    LabelScore,
    MeasurementOfStudy,
    PlaneOfStudy,
    SeriesOfStudy,
    StudyDocument,
)
from usassist.app.studies.montage import draw_montage
from usassist.app.studies.planes import plane_centre_lps_mm, top_planes
from usassist.common.closeable import Closeable
from usassist.common.private_files import sync_file, sync_folder
from usassist.errors import StudyError
from usassist.sources.volumes import write_nifti

if TYPE_CHECKING:
    from usassist.app.studies.answer import StudyOutcome, Writer

__all__ = ["NOTICE", "ResultFolder", "check_new_folder", "describe_study"]

NOTICE = "Research use only; not a medical device. A person has to look at every image."

_ARRAYS = "arrays"


def check_new_folder(folder: Path) -> None:
    """Raise ``StudyError`` where a folder cannot be made, before anything is computed."""
    if os.path.lexists(folder):
        raise StudyError(f"{folder} exists already; name a folder that does not")
    if not folder.parent.is_dir():
        raise StudyError(f"{folder} cannot be made: its parent is not a folder; make that first")


class ResultFolder(Closeable):
    """A hidden folder beside the one that is to be made, until :meth:`fill`. Closing it removes what was not filled.

    Parameters
    ----------
    folder : to be made; None = nothing is written
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.path: Path | None = None
        if folder is None:
            return
        check_new_folder(folder)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
        except OSError as error:
            raise StudyError(f"nothing can be written beside {folder}: {error.strerror}; name another") from error

    @property
    def arrays(self) -> Path | None:
        """Where arrays as large as the volume lie while the study runs."""
        return None if self.path is None else self.path / _ARRAYS

    def fill(self, outcome: StudyOutcome, writers: Sequence[Writer], step: Callable[[], None]) -> tuple[str, ...]:
        """Write every file and make the folder. Returns their names.

        Parameters
        ----------
        outcome : with an answer
        writers : of further files; one with a method ``notes(outcome)`` has its sentences in the DICOM report
        step : called between two files; what it raises leaves nothing behind

        Raises
        ------
        StudyError
            If something cannot be written.
        """
        assert self.path is not None
        assert self._folder is not None
        try:
            names: list[str] = []
            say = [getattr(writer, "notes", None) for writer in writers]
            notes = [note for notes_of in say if notes_of is not None for note in notes_of(outcome)]
            with_objects: Writer = functools.partial(write_dicom_objects, notes=notes)
            for writer in (_write_labelmap, _write_montage, with_objects, *writers):
                step()
                names += writer(outcome, self.path)
            step()
            names.append("result.json")
            document = describe_study(outcome, tuple(names))
            text = msgspec.json.format(msgspec.json.encode(document), indent=1)
            (self.path / "result.json").write_bytes(text + b"\n")
            shutil.rmtree(self.path / _ARRAYS, ignore_errors=True)
            for path in self.path.rglob("*"):
                path.chmod(0o700 if path.is_dir() else 0o600)
                if path.is_file():
                    sync_file(path)
            self.path.rename(self._folder)
            sync_folder(self._folder.parent)
        except OSError as error:
            if isinstance(error, StudyError):
                raise
            reason = error.strerror or str(error)
            raise StudyError(
                f"{self._folder} cannot be written: {reason}; name another folder or free space"
            ) from error
        self.path = None
        return tuple(names)

    def close(self) -> None:
        """Remove what was not filled."""
        path, self.path = self.path, None
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)


def describe_study(outcome: StudyOutcome, files: tuple[str, ...] = ()) -> StudyDocument:
    """The document of a study that has an answer."""
    result, spec, facts = outcome.result, outcome.spec, outcome.input.facts
    answer = result.answer
    if answer is None:
        raise StudyError(f"a study without a result has no document: {result.reason}; run it again")
    names = {label.id: label.name for label in spec.labels}
    scores = {item.label_id: item.scores for item in answer.plane_scores}
    study_scores = {item.label_id: item.value for item in answer.measurements if item.name == "study_score"}
    labels = []
    for label in spec.labels:
        score, planes = study_scores.get(label.id), scores.get(label.id)
        labels.append(
            LabelScore(
                label_id=label.id,
                name=label.name,
                meaning=label.meaning,
                score=score,
                threshold=label.score_threshold,
                reached=None if score is None else score >= label.score_threshold,
                planes_reached=None if planes is None else int((planes >= label.score_threshold).sum()),
            )
        )
    volume = outcome.input.volume
    planes_of = tuple(
        PlaneOfStudy(
            index=z,
            centre_lps_mm=plane_centre_lps_mm(volume, z),
            scores={item.name: round(float(item.scores[z]), 4) for item in answer.plane_scores},
            outlined_voxels=0 if answer.labelmap is None else int(np.count_nonzero(answer.labelmap[z])),
        )
        for z in range(volume.shape_zyx[0])
    )
    return StudyDocument(
        schema="usassist.study",
        version=DOCUMENT_VERSION,
        usassist=__version__,
        notice=NOTICE,
        intended_use=spec.intended_use,
        state="finding" if answer.found else "no_finding",
        words=outcome.words,
        engine=EngineOfStudy(
            engine_id=result.engine_id,
            backend=result.backend,
            precision=outcome.precision,
            failovers=result.failovers,
        ),
        series=SeriesOfStudy(
            series_id=result.series_id,
            modality=result.modality,
            unit=volume.unit,
            shape_zyx=volume.shape_zyx,
            spacing_zyx_mm=volume.spacing_zyx_mm,
            spacing_is_known=volume.spacing_is_known,
            slice_thickness_mm=facts.slice_thickness_mm,
            tilt_deg=facts.tilt_deg,
            affine_ijk_to_lps_mm=tuple(tuple(row) for row in volume.affine_ijk_to_lps_mm.tolist()),
            kernel=facts.kernel,
            contrast=facts.contrast,
            problems=facts.problems,
        ),
        labels=tuple(labels),
        measurements=tuple(
            MeasurementOfStudy(
                name=item.name,
                label=None if item.label_id is None else names.get(item.label_id, str(item.label_id)),
                value=item.value,
                unit=item.unit,
                u95=item.u95,
                reason=item.reason,
            )
            for item in answer.measurements
        ),
        top_planes=top_planes(outcome),
        planes=planes_of,
        seconds=round((result.t_end_ns - result.t_start_ns) / 1e9, 2),
        files=files,
    )


def _write_labelmap(outcome: StudyOutcome, folder: Path) -> Sequence[str]:
    answer = outcome.result.answer
    if answer is None or answer.labelmap is None:
        return ()
    write_nifti(folder / "labelmap.nii.gz", answer.labelmap, outcome.input.volume.affine_ijk_to_lps_mm)
    return ("labelmap.nii.gz",)


def _write_montage(outcome: StudyOutcome, folder: Path) -> Sequence[str]:
    picture = draw_montage(outcome)
    if picture is None:
        return ()
    if not cv2.imwrite(str(folder / "montage.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise StudyError(f"montage.png cannot be written into {folder}; free some space")
    return ("montage.png",)
