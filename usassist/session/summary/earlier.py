"""An earlier report of the same patient: which of its nodules are which of these, and whether they have grown.

Nothing in a recording says who the patient is, and numbers of nodules begin anew with every stream. So a person says
which report is the earlier one, and which nodule is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from usassist.clinical import Quantity as Measured
from usassist.clinical import judge_growth
from usassist.errors import SessionError, UsageError
from usassist.session.summary.document import DOCUMENT_VERSION, SCHEMA_NAME, SweepDocument
from usassist.session.summary.parts import Dimensions, GrowthOfNodule, Nodule

__all__ = ["Earlier", "find_growth", "parse_same", "read_earlier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier document, and the track id here → track id there of nodules that a person knows to be the same."""

    document: SweepDocument
    same: Mapping[int, int]


def parse_same(text: str) -> tuple[int, int]:
    """Track ids here and there of ``N1=N2``.

    Raises
    ------
    UsageError
        If it is anything else.
    """
    now, equals, before = (part.strip().upper().removeprefix("N") for part in text.partition("="))
    if not equals or not (now.isdecimal() and before.isdecimal()):
        raise UsageError(f"{text!r} does not name two nodules; write N1=N2 for N1 here, which was N2 there")
    return int(now), int(before)


def read_earlier(path: Path, same: Mapping[int, int]) -> Earlier:
    """Read the ``report.json`` of an earlier sweep.

    Parameters
    ----------
    path : of the file
    same : track id here → track id there

    Raises
    ------
    SessionError
        If it cannot be read, or is no such report.
    UsageError
        If no nodule is named, or the report does not list one of them.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=SweepDocument)
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror}; give the report.json of a sweep") from error
    except msgspec.DecodeError as error:
        raise SessionError(
            f"{path} is no report of usassist, or of a newer one: {error}; write it again with usassist report"
        ) from error
    if document.schema != SCHEMA_NAME or document.version[0] != DOCUMENT_VERSION[0]:
        raise SessionError(f"{path} is {document.schema} {document.version[0]}; write it again with usassist report")
    listed = [nodule.name for nodule in document.nodules]
    missing = [f"N{number}" for number in same.values() if f"N{number}" not in listed]
    if missing or not same:
        what = f"it does not list {missing[0]}" if missing else "no nodule is named"
        raise UsageError(f"{path.name} lists {', '.join(listed) or 'no nodule'}, and {what}; give --same N1=N2")
    return Earlier(document=document, same=same)


def find_growth(track_id: int, dimensions: Dimensions | None, earlier: Earlier | None) -> GrowthOfNodule | None:
    """Growth of one nodule by the rule of ACR TI-RADS; None where nobody has named it.

    Parameters
    ----------
    track_id, dimensions : of the nodule in this sweep
    earlier : None = there is no earlier report
    """
    number = None if earlier is None else earlier.same.get(track_id)
    if earlier is None or number is None:
        return None
    before: Nodule = next(item for item in earlier.document.nodules if item.track_id == number)
    named = GrowthOfNodule(
        earlier_session_id=earlier.document.sweep.session_id,
        earlier_created_utc=earlier.document.sweep.created_utc,
        earlier_name=before.name,
    )
    if dimensions is None or before.dimensions is None:
        return msgspec.structs.replace(named, missing="now" if dimensions is None else "earlier")
    growth = judge_growth(_diameters(before.dimensions), _diameters(dimensions))
    length, width, depth = (round(ratio, 3) for ratio in growth.diameter_ratios)
    return msgspec.structs.replace(
        named,
        state=growth.state.value,
        by_values=growth.by_values,
        length_ratio=length,
        width_ratio=width,
        depth_ratio=depth,
        volume_ratio=round(growth.volume_ratio, 3),
    )


def _diameters(dimensions: Dimensions) -> list[Measured]:
    found = (dimensions.length_mm, dimensions.width_mm, dimensions.depth_mm)
    return [Measured(value=item.value, u95=item.u95) for item in found]
