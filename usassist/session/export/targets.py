"""Several exports of one session at once: all of them, or none."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from usassist.errors import UsageError
from usassist.session.export.coco import write_coco
from usassist.session.export.new_file import new_file
from usassist.session.export.nifti import check_nifti
from usassist.session.export.pixels import write_frames, write_video
from usassist.session.export.table import check_parquet, write_csv, write_parquet
from usassist.session.export.volume_files import VolumeFiles, check_volume_name, write_volume
from usassist.session.export.yolo import write_yolo
from usassist.session.opening import RecordedSession
from usassist.session.writing import new_folder

__all__ = ["ExportTargets", "export_session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTargets:
    """What is to be written; None = not that.

    Attributes
    ----------
    csv, parquet : the table of results
    coco : results as COCO; where `frames` are written too, it lists only those whose pixels can be read
    video : compact copy of the frames, ``.mkv`` or ``.mp4``
    frames : new folder of PNG files
    yolo : new folder with images, labels and ``data.yaml``
    nrrd : label map, ``.seg.nrrd`` for 3D Slicer, or ``.nrrd``
    nifti : label map, ``.nii`` or ``.nii.gz``
    with_images : beside each label map also a volume of the frames
    """

    csv: Path | None = None
    coco: Path | None = None
    parquet: Path | None = None
    video: Path | None = None
    frames: Path | None = None
    yolo: Path | None = None
    nrrd: Path | None = None
    nifti: Path | None = None
    with_images: bool = False

    def __post_init__(self) -> None:
        """Check that there is something to do, and that names fit."""
        single = (self.csv, self.coco, self.parquet, self.video, self.frames, self.yolo)
        names = [path for path in single if path is not None]
        for volume in self.volumes:
            check_volume_name(volume.labels, nifti=volume.nifti)
            names += volume.paths
        paths = [path.resolve() for path in names]
        if not paths:
            raise UsageError(
                "no export given; give --csv, --coco, --parquet, --video, --nrrd or --nifti FILE, or --frames or "
                "--yolo FOLDER"
            )
        if self.with_images and not self.volumes:
            raise UsageError("--with-images adds the frames to a label map; give --nrrd or --nifti FILE too")
        if len(set(paths)) < len(paths):
            raise UsageError("two exports have the same name; give each its own")
        if self.video is not None and self.video.suffix not in (".mkv", ".mp4"):
            raise UsageError(f"{self.video} is no .mkv or .mp4; name a file that ends so")

    @property
    def volumes(self) -> list[VolumeFiles]:
        """The label maps that are to be written."""
        given = ((self.nrrd, False), (self.nifti, True))
        return [
            VolumeFiles(labels=path, nifti=nifti, with_images=self.with_images)
            for path, nifti in given
            if path is not None
        ]


def export_session(session: RecordedSession, targets: ExportTargets, problems: list[str]) -> dict[str, str]:
    """Write everything that is asked for. Names appear when all is written; a failure or Ctrl-C before leaves nothing.

    Parameters
    ----------
    session : is not changed
    targets : what and where
    problems : gets one line for each frame that cannot be read

    Returns
    -------
    written : path → how much, in words

    Raises
    ------
    UsageError
        If pyarrow is missing for Parquet, or nibabel for NIfTI.
    SessionError
        If a target exists, or cannot be written.
    """
    written: dict[str, str] = {}
    if targets.parquet is not None:
        check_parquet()
    if targets.nifti is not None:
        check_nifti()
    with ExitStack() as stack:
        # All names are checked before the first frame is read.
        files = {
            path: stack.enter_context(new_file(path))
            for path in (
                *(targets.csv, targets.coco, targets.parquet, targets.video),
                *(path for volume in targets.volumes for path in volume.paths),
            )
            if path is not None
        }
        yolo = None if targets.yolo is None else stack.enter_context(new_folder(targets.yolo))
        folder = None if targets.frames is None else stack.enter_context(new_folder(targets.frames))
        if targets.csv is not None:
            written[str(targets.csv)] = f"{write_csv(session, files[targets.csv])} rows"
        if targets.parquet is not None:
            written[str(targets.parquet)] = f"{write_parquet(session, files[targets.parquet])} rows"
        if targets.video is not None:
            written[str(targets.video)] = f"{write_video(session, files[targets.video], problems)} frames"
        images = None
        if folder is not None:
            told: list[str] = [] if targets.video is not None else problems  # the video has reported the same frames
            images = write_frames(session, folder, told)
            written[str(targets.frames)] = f"{len(images)} frames"
        if yolo is not None:
            told = problems if targets.video is None and folder is None else []
            shown, outlines = write_yolo(session, yolo, told)
            written[str(targets.yolo)] = f"{outlines} outlines of {shown} images"
        for volume in targets.volumes:
            written[str(volume.labels)] = write_volume(session, volume, files, problems)
        if targets.coco is not None:
            shown, nodules = write_coco(session, files[targets.coco], images)
            written[str(targets.coco)] = f"{nodules} annotations of {shown} images"
    return written
