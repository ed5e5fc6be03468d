"""A label map of a sweep with the file beside it that says what it cannot hold, and the frames as a second volume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.frames import to_grey
from usassist.session.export.labels import announced_engine
from usassist.session.export.nifti import write_nifti
from usassist.session.export.nrrd import image_header, is_segmentation, label_header, write_nrrd
from usassist.session.export.volume import VolumePlan, describe_volume, label_planes, plan_volume
from usassist.session.opening import RecordedSession

__all__ = ["VolumeFiles", "check_volume_name", "write_volume"]

_NIFTI, _NRRD = (".nii.gz", ".nii"), (".seg.nrrd", ".nrrd")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFiles:
    """The files of one label map.

    Attributes
    ----------
    labels : the map
    nifti : True = NIfTI, False = NRRD
    with_images : also a volume of the frames
    """

    labels: Path
    nifti: bool
    with_images: bool

    @property
    def facts(self) -> Path:
        """JSON beside the map: times, states, what the values mean."""
        return self.labels.with_name(f"{self.labels.name}.json")

    @property
    def images(self) -> Path:
        """The volume of the frames."""
        for ending in _NIFTI if self.nifti else _NRRD:
            if self.labels.name.endswith(ending):
                stem = self.labels.name.removesuffix(ending)
                return self.labels.with_name(f"{stem}.images{'.nrrd' if not self.nifti else ending}")
        raise UsageError(f"{self.labels} has no ending of a volume")

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [self.labels, self.facts, *([self.images] if self.with_images else [])]


def check_volume_name(path: Path, *, nifti: bool) -> None:
    """See that a file is named as its format asks for.

    Raises
    ------
    UsageError
        If it is not.
    """
    if nifti and not path.name.endswith(_NIFTI):
        raise UsageError(f"{path} is no .nii or .nii.gz; name a file that ends so")
    if not nifti and not path.name.endswith(_NRRD):
        raise UsageError(f"{path} is no .seg.nrrd (for 3D Slicer) or .nrrd; name a file that ends so")


def write_volume(
    session: RecordedSession, files: VolumeFiles, temporary: Mapping[Path, Path], problems: list[str]
) -> str:
    """Write the files of one label map; returns how much, in words.

    Parameters
    ----------
    session : of which the results are
    files : what to write
    temporary : where each of its paths is written to, by its final name
    problems : gets one line for frames that are left out

    Raises
    ------
    SessionError
        If frames differ in size, or there is none.
    OSError
        If one cannot be written.
    """
    readable = None
    if files.with_images:
        lost: list[str] = []
        readable = {line.frame_id for line, image in session.images(lost) if image is not None}
        problems += [line for line in lost if line not in problems]
    plan = plan_volume(session, readable)
    overlaps: list[int] = []
    planes = label_planes(session, plan, overlaps)
    facts, about = _facts(session, plan)
    in_space = is_segmentation(files.labels)
    labels = temporary[files.labels]
    if files.nifti:
        write_nifti(labels, plan, planes, dtype=plan.dtype, channels=1, about=about)
    else:
        write_nrrd(labels, label_header(plan, facts, segmentation=in_space), planes)
    if files.with_images:
        channels = max(line.channels for line in session.frames if line.frame_id in set(plan.frame_ids))
        frames = _image_planes(session, plan, channels)
        if files.nifti:
            write_nifti(temporary[files.images], plan, frames, dtype=np.uint8, channels=channels, about=about)
        else:
            header = image_header(plan, facts, channels=channels, in_space=in_space)
            write_nrrd(temporary[files.images], header, frames)
    document = describe_volume(session, plan, overlaps)
    temporary[files.facts].write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if overlaps:
        problems.append(
            f"{files.labels.name}: nodules overlap on {len(set(overlaps))} frames, and a label map shows the one with "
            "the higher score; --coco has both"
        )
    nodules = sum(label.value < plan.not_tracked for label in plan.labels)
    return f"{nodules} nodules in {len(plan.frame_ids)} planes"


def _image_planes(session: RecordedSession, plan: VolumePlan, channels: int) -> Iterator[npt.NDArray[Any]]:
    for _, image in session.wanted_images(set(plan.frame_ids), []):
        if channels == 1:
            yield to_grey(image)
        else:
            yield image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)


def _facts(session: RecordedSession, plan: VolumePlan) -> tuple[dict[str, str], str]:
    """Keys for the header of NRRD, and one line for that of NIfTI."""
    engine = announced_engine(session)
    facts = {
        "usassist_session_id": session.manifest.session_id,
        "usassist_engine_id": "" if engine is None else engine.engine_id,
        "usassist_last_axis": "frames; not a length",
        "usassist_frame_step_ms": "not even, see the json file" if plan.step_ms is None else repr(plan.step_ms),
        "usassist_no_answer_value": str(plan.no_answer),
    }
    about = f"usassist; {plan.no_answer} = no answer"
    if plan.spacing_rel_sd is not None:
        facts["usassist_spacing_rel_sd"] = repr(plan.spacing_rel_sd)
        about += f"; spacing rel. sd {plan.spacing_rel_sd:.3g}"
    return {key: value for key, value in facts.items() if value}, about
