"""The address of an OpenIGTLink server, ``openigtlink://HOST:PORT?device=NAME&pose=NAME,NAME``: ``docs/plus.md``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from usassist.common.openigtlink.header import DEVICE_BYTES
from usassist.errors import UsageError
from usassist.sources.inputs.openigtlink_image import FLIPS

__all__ = ["LinkAddress", "parse_address"]

_REMEDY = "write openigtlink://HOST:PORT?device=NAME&pose=NAME,NAME"
_DEFAULT_PORT = 18944
_SETTINGS = ("device", "pose", "spacing_sd", "flip", "crc")
_MAX_POSES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAddress:
    """A parsed address.

    Attributes
    ----------
    host, port : of the server
    device : whose images are taken, cut to 20 characters; empty = the first that sends
    poses : names of the transforms that travel with the frames
    spacing_rel_sd : relative standard uncertainty of the scale that the sender states; None = that is not used
    flip : how images are mirrored
    checks_crc : checksums are checked
    """

    host: str
    port: int
    device: str
    poses: tuple[str, ...]
    spacing_rel_sd: float | None
    flip: str
    checks_crc: bool


def parse_address(address: str) -> LinkAddress:
    """Parse an address.

    Raises
    ------
    UsageError
        If it is malformed; the message does not show it.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORT
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise UsageError(f"openigtlink: the address is malformed; {_REMEDY}") from None
    given = dict(query)
    if not host or parts.path not in ("", "/") or parts.username is not None or len(given) != len(query):
        raise UsageError(f"openigtlink: the address is malformed; {_REMEDY}")
    for name in given:
        if name not in _SETTINGS:
            raise UsageError(f"openigtlink: there is no setting {name}; known: {', '.join(_SETTINGS)}")
    poses = tuple(name for name in given.get("pose", "").split(",") if name)
    if len({name[:DEVICE_BYTES] for name in poses}) != len(poses) or len(poses) > _MAX_POSES:
        raise UsageError(f"openigtlink: pose= names each pose once, and up to {_MAX_POSES}; {_REMEDY}")
    flip, crc = given.get("flip", "none"), given.get("crc", "check")
    if flip not in FLIPS:
        raise UsageError(
            f"openigtlink: flip={flip} is not one of {', '.join(FLIPS)}; write flip=x to mirror left-right"
        )
    if crc not in ("check", "none"):
        raise UsageError(f"openigtlink: crc={crc} is unknown; write crc=none where the sender writes no checksums")
    return LinkAddress(
        host=host,
        port=port,
        device=given.get("device", "")[:DEVICE_BYTES],
        poses=poses,
        spacing_rel_sd=_spacing_sd(given.get("spacing_sd")),
        flip=flip,
        checks_crc=crc == "check",
    )


def _spacing_sd(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 0.5:
        raise UsageError(f"openigtlink: spacing_sd={text} is not between 0 and 0.5; write spacing_sd=0.02")
    return value
