"""NIfTI: x, y, one slice, and time, which is the fourth axis of the format; written plane by plane.

https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h: dim[4] is time, ``xyzt_units`` says the units, 0 that they
are not known; ``qform_code`` and ``sform_code`` 0 say that the position in the body is not known.
"""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.session.export.volume import VolumePlan

__all__ = ["check_nifti", "write_nifti"]

_MAX_SIDE = np.iinfo(np.int16).max  # of NIfTI-1
_RGB = np.dtype([("R", np.uint8), ("G", np.uint8), ("B", np.uint8)])


def check_nifti() -> None:
    """See that NIfTI can be written.

    Raises
    ------
    UsageError
        If nibabel is not installed.
    """
    try:
        importlib.import_module("nibabel")
    except ImportError as error:
        raise UsageError(f"NIfTI needs nibabel ({error}); pip install 'usassist[volumes]', or use --nrrd") from error


def write_nifti(
    path: Path, plan: VolumePlan, planes: Iterable[npt.NDArray[Any]], *, dtype: Any, channels: int, about: str
) -> None:
    """Write a file; packed where its name ends in ``.gz``.

    Parameters
    ----------
    path : of a file that exists
    plan : of the volume
    planes : C order, (H, W) or (H, W, 3)
    dtype : of the values
    channels : 3 = the type RGB24 of the format
    about : at most 79 characters

    Raises
    ------
    OSError
        If it cannot be written.
    """
    nibabel = importlib.import_module("nibabel")
    height, width = plan.image_hw_px
    shape = (width, height, 1, len(plan.frame_ids))
    header = (nibabel.Nifti2Header if max(shape) > _MAX_SIDE else nibabel.Nifti1Header)()
    header.set_data_dtype(_RGB if channels == 3 else dtype)
    header.set_data_shape(shape)
    row, column = plan.spacing_rc_mm or (1.0, 1.0)
    header.set_zooms((column, row, 1.0, plan.step_ms or 1.0))
    header.set_xyzt_units("unknown" if plan.spacing_rc_mm is None else "mm", "msec" if plan.step_ms else "unknown")
    header.set_slope_inter(1, 0)
    header["descrip"] = about.encode("ascii")[:79]
    with ExitStack() as stack:
        file: Any = stack.enter_context(path.open("wb"))
        if path.suffix == ".gz":
            file = stack.enter_context(gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0))
        header.write_to(file)
        for plane in planes:
            file.write(np.ascontiguousarray(plane).data)
