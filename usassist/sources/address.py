"""Open a source by its address, as it is written on the command line."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from usassist.calibrate import Geometry
from usassist.common.clock import Clock, MonotonicClock
from usassist.config import resource_dir
from usassist.errors import SourceError, UsageError
from usassist.sources.base import Crop, Source, SourceOptions
from usassist.sources.inputs.address import LIVE_SCHEMES, as_live_source, is_live
from usassist.sources.scale import ScaleMode

__all__ = [
    "DEMO_CALIBRATION",
    "IMAGE_SUFFIXES",
    "NUMBERS_ONLY",
    "begins_as_dicom",
    "demo_address",
    "open_source",
    "parse_settings",
]

# One line per kind of source that is no live input; those are listed in inputs/address.py. Each module has
# open_address(rest, options) -> Source and is imported on first use.
_MODULES = {
    "clip": "usassist.sources.clip",
    "dicom": "usassist.sources.dicom.source",
    "images": "usassist.sources.images",
    "null": "usassist.sources.null",
    "phantom": "usassist.sources.phantom",
    "session": "usassist.sources.session",
}
NUMBERS_ONLY = ("null", "phantom")
"""Sources whose address holds only numbers, so that a recording may keep it whole; of any other it keeps the kind."""
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
DEMO_CALIBRATION = "phantom_demo"
"""Geometry calibration of the bundled clip."""
_NAMED = re.compile(r"([a-z][a-z0-9]*):(.*)", re.DOTALL)


def open_source(
    address: str,
    *,
    session_id: str,
    source_id: str = "us0",
    fast: bool = False,
    repeat: bool = False,
    count: int | None = None,
    crop: Crop = "auto",
    geometry: Geometry | None = None,
    clock: Clock | None = None,
    deinterlace: bool = False,
    scale: ScaleMode = "auto",
) -> Source:
    """Open a source.

    Parameters
    ----------
    address : a path (a video file plays as a clip, a folder or a single image as images, a DICOM file as
        dicom), or ``clip:PATH``, ``images:DIR``, ``dicom:FILE``, ``phantom:seed=3,seconds=10``,
        ``null:frames=100,rate=30,size=480x640``, ``session:DIR`` for the frames of a recorded session, or a live
        input, see :func:`usassist.sources.inputs.address.open_grabber`
    session_id, source_id : copied to every frame
    fast : deliver frames on request instead of when they are due
    repeat : start again at the end; ``frame_id`` keeps rising
    count : stop after this many frames
    crop : ``auto`` finds the scan area, ``none`` keeps the whole screen, or x1, y1, x2, y2 in px of the screen
    geometry : the calibration of this scanner
    clock : the clock that paces and stamps; None = the machine's monotonic clock
    deinterlace : of a clip or live input
    scale : ``auto``, ``profile`` or ``none``, see :class:`SourceOptions`

    Returns
    -------
    source : open, with ``info`` filled in

    Raises
    ------
    UsageError
        If the address or an option is malformed.
    SourceError, SourceFormatError, ScanAreaError
        If it is missing, cannot be read, or shows no scan area.
    CalibrationError
        If the calibration was made on another screen.
    """
    options = SourceOptions(
        session_id=session_id,
        source_id=source_id,
        fast=fast,
        repeat=repeat,
        count=count,
        crop=crop,
        geometry=geometry,
        clock=MonotonicClock() if clock is None else clock,
        deinterlace=deinterlace,
        scale=scale,
    )
    if is_live(address):
        from usassist.sources.live import open_live

        return open_live(address, options)
    name, rest = _split(address)
    if deinterlace and name != "clip":
        raise UsageError(f"a {name} source is never interlaced; leave out --deinterlace")
    source: Source = importlib.import_module(_MODULES[name]).open_address(rest, options)
    return source


def demo_address() -> str:
    """Address of the bundled clip, which ``demo`` stands for."""
    return f"clip:{resource_dir('demo') / 'clip.mkv'}"


def parse_settings(text: str, known: dict[str, str], *, source: str) -> dict[str, str]:
    """Read ``key=value,key=value``.

    Parameters
    ----------
    text : the part of an address after the colon; may be empty
    known : valid keys, each with an example value
    source : name of the source, for messages

    Raises
    ------
    UsageError
        If a key is unknown, given twice, or without a value.
    """
    settings: dict[str, str] = {}
    remedy = f"write {source}:" + ",".join(f"{key}={value}" for key, value in known.items())
    for part in filter(None, text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UsageError(f"source {source}: {part!r} is not key=value; {remedy}")
        if key not in known:
            raise UsageError(f"source {source}: unknown setting {key}; {remedy}")
        if key in settings:
            raise UsageError(f"source {source}: {key} is given twice; {remedy}")
        settings[key] = value
    return settings


def _split(address: str) -> tuple[str, str]:
    """Name of the source, and the rest of the address."""
    if not address.strip():
        raise UsageError(f"the source is empty; give a video file, a folder of images, or {_choices()}")
    match = _NAMED.fullmatch(address)
    if match and match[1] in _MODULES:
        return match[1], match[2]
    try:
        path = Path(address)
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise SourceError(f"source {address!r} cannot be looked up: {error}; check the path") from error
    if match and not exists:
        raise UsageError(f"there is no source named {match[1]}; give a path, or {_choices()}")
    if address.startswith("/dev/"):
        raise UsageError(
            f"{address} is a device, not a clip; usassist live --source {as_live_source(address)} watches it"
        )
    if is_folder or path.suffix.lower() in IMAGE_SUFFIXES:
        return "images", address
    if path.suffix.lower() == ".dcm" or begins_as_dicom(path):
        return "dicom", address
    return "clip", address


def begins_as_dicom(path: Path) -> bool:
    """True for a regular file with the DICOM prefix after its preamble of 128 bytes."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False  # opening it reports why it cannot be read


def _choices() -> str:
    files, live = (", ".join(f"{name}:" for name in sorted(names)) for names in (_MODULES, LIVE_SCHEMES))
    return f"{files}; live input is {live}"
