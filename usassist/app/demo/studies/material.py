"""The simulated studies: computed when they are first asked for, as DICOM series without a patient."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from usassist.dicom.studies.series import SeriesHeader, write_series
from usassist.errors import UsageError, UsAssistError
from usassist.volumes import Volume

__all__ = ["make_series"]

_SEED = 7


def make_series(name: str, folder: Path, progress: Callable[[float], None], stop: threading.Event) -> None:
    """Compute a study and write it into a new folder, which appears whole or not at all.

    Parameters
    ----------
    name : ``head_bleed``, ``head_normal`` or ``abdomen``
    folder : to be made
    progress : receives the share that is done
    stop : set it to end

    Raises
    ------
    UsageError
        If there is no such study.
    UsAssistError
        If it was stopped, or cannot be written.
    """

    def report(share: float) -> None:
        if stop.is_set():
            raise UsAssistError("it was stopped")
        progress(share)

    if name in ("head_bleed", "head_normal"):
        volume, header = _head(bleeds=name == "head_bleed"), SeriesHeader(body_part="HEAD", description="Phantom head")
    elif name == "abdomen":
        volume = _abdomen(lambda share: report(0.8 * share))
        windows = (("SOFT TISSUE", 40.0, 400.0),)
        header = SeriesHeader(
            body_part="ABDOMEN", description="Phantom abdomen", patient_sex="M", patient_height_m=1.78, windows=windows
        )
    else:
        raise UsageError(f"there is no simulated study {name!r}; choose another")
    report(0.8)
    write_series(volume, folder, header, progress=lambda share: report(0.8 + 0.2 * share))


def _head(*, bleeds: bool) -> Volume:
    from usassist.phantom.ct.head import HeadBleed, make_head
    from usassist.phantom.ct.head_anatomy import Tissue

    drawn = (
        HeadBleed(kind=Tissue.INTRAPARENCHYMAL, hu=66.0, centre_mm=(28.0, -6.0, 14.0), semi_mm=(15.0, 19.0, 13.0)),
        HeadBleed(kind=Tissue.EXTRA_AXIAL, hu=62.0, centre_mm=(-55.0, 10.0, 10.0), semi_mm=(34.0, 8.0, 26.0)),
    )
    voxels, _, affine = make_head(
        _SEED, shape_zyx=(34, 384, 384), spacing_zyx_mm=(5.0, 0.6, 0.6), bleeds=drawn if bleeds else ()
    )
    return _volume(f"head-{bleeds}", voxels, affine)


def _abdomen(report: Callable[[float], None]) -> Volume:
    from usassist.phantom.ct.abdomen import make_abdomen

    voxels, _, _, affine = make_abdomen(_SEED, (60, 256, 320), (5.0, 1.4, 1.4), report=report)
    return _volume("abdomen", voxels, affine)


def _volume(name: str, voxels, affine) -> Volume:  # type: ignore[no-untyped-def]
    return Volume(
        session_id="demo",
        source_id="ct0",
        series_id=f"phantom-{name}",
        modality="CT",
        voxels=voxels,
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )
