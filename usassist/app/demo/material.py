"""What can be answered without an upload: what lies in ``demo/``, and a clip that the command names."""

from __future__ import annotations

from dataclasses import dataclass

from usassist.config import resource_dir
from usassist.sources.address import DEMO_CALIBRATION

__all__ = ["FIRST", "Item", "bundled_items"]

FIRST = "first"
"""Name of the clip that the command names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One clip or picture.

    Attributes
    ----------
    name : its title is the word ``item.NAME``
    source : address
    calibration : geometry calibration, None = what its screen states
    simulated : made by our simulated scanner
    """

    name: str
    source: str
    calibration: str | None = None
    simulated: bool = True


def bundled_items() -> dict[str, Item]:
    """Everything simulated in ``demo/``, by name, the first to be shown first."""
    folder = resource_dir("demo")
    items = [
        Item(name="clip", source=f"clip:{folder / 'clip.mkv'}", calibration=DEMO_CALIBRATION),
        Item(name="convex", source=f"clip:{folder / 'convex.mkv'}"),
        Item(name="no_nodule", source=f"clip:{folder / 'no_nodule.mkv'}"),
        Item(name="still", source=f"images:{folder / 'still.png'}"),
    ]
    return {item.name: item for item in items}
