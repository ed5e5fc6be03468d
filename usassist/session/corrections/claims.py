"""What a file says about the frames of a session, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass

from usassist.session.corrections.regions import Region

__all__ = ["ClaimedRegion", "FrameClaim", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClaimedRegion:
    """One nodule as a reader has it.

    Attributes
    ----------
    region : its pixels
    label_id, label : of the session's engine
    track_id : where the file says so; None = it does not
    """

    region: Region
    label_id: int
    label: str
    track_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameClaim:
    """All nodules of one frame; none = there is none.

    Attributes
    ----------
    frame_id : of the session
    regions : of the nodules
    speaks_of : track ids of the nodules that the file is about; others of the result stay as they are, unless a region
        lies on them. None = it is about all
    """

    frame_id: int
    regions: tuple[ClaimedRegion, ...]
    speaks_of: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the readers of files need to know of the session.

    Attributes
    ----------
    session_id : of the recording
    sizes_hw_px : frame → height and width of its image
    labels : label id → name
    """

    session_id: str
    sizes_hw_px: dict[int, tuple[int, int]]
    labels: dict[int, str]

    def label_of(self, name: str) -> int | None:
        """The label of a name, whatever its case; None where there is none."""
        wanted = name.strip().casefold()
        return next((number for number, known in self.labels.items() if known.casefold() == wanted), None)

    @property
    def known_labels(self) -> str:
        """Names of the labels, for a message."""
        return ", ".join(self.labels.values())
