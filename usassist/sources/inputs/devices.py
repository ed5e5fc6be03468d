"""List the live inputs of this machine: frame grabbers, a display, and network protocols."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from usassist.config import has_display
from usassist.errors import SourceError
from usassist.sources.inputs.network import has_protocol
from usassist.sources.inputs.v4l2 import open_device
from usassist.sources.inputs.v4l2_modes import list_modes, query_device

__all__ = ["Inputs", "VideoDevice", "find_devices", "find_inputs"]

_PROTOCOLS = ("rtsp", "udp", "tcp", "srt")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoDevice:
    """A Video4Linux device.

    Attributes
    ----------
    address : for ``--source``
    driver, card : as reported by the driver, empty where it cannot be queried
    modes : one line of text each
    problem : why it cannot be used, and what to do; empty where it can
    """

    address: str
    driver: str
    card: str
    modes: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The live inputs of this machine.

    Attributes
    ----------
    devices : frame grabbers and cameras
    display : there is a display whose screen can be read
    protocols : whether this build can read from each
    """

    devices: tuple[VideoDevice, ...]
    display: bool
    protocols: dict[str, bool]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def find_inputs(folder: Path = Path("/dev")) -> Inputs:
    """Search for live inputs; those that cannot be opened are listed with the reason."""
    return Inputs(
        devices=find_devices(folder),
        display=has_display(),
        protocols={scheme: has_protocol(scheme) for scheme in _PROTOCOLS},
    )


def find_devices(folder: Path = Path("/dev"), *, skip: str = "") -> tuple[VideoDevice, ...]:
    """The Video4Linux devices alone.

    Parameters
    ----------
    folder : of the device nodes
    skip : address of a device that is in use, and is not touched
    """
    nodes = [node for node in folder.glob("video*") if re.fullmatch(r"video\d+", node.name)]
    found = [_query(node) for node in sorted(nodes, key=lambda node: int(node.name[5:])) if f"v4l2:{node}" != skip]
    return tuple(device for device in found if device is not None)


def _query(node: Path) -> VideoDevice | None:
    """One device; None for nodes that capture no frames, such as the metadata node of a camera."""
    address = f"v4l2:{node}"
    driver = card = ""
    try:
        fd = open_device(str(node))
        try:
            device = query_device(fd)
            driver, card = device.driver, device.card
            if not device.captures:
                return None
            modes = tuple(str(mode) for mode in list_modes(fd))
        finally:
            os.close(fd)
    except SourceError as error:
        return VideoDevice(address=address, driver=driver, card=card, modes=(), problem=str(error))
    except OSError as error:
        problem = f"it does not answer ({error.strerror}); plug it in again"
        return VideoDevice(address=address, driver=driver, card=card, modes=(), problem=problem)
    return VideoDevice(address=address, driver=driver, card=card, modes=modes, problem="")
