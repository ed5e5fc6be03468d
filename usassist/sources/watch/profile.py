"""Times and thresholds of the signal watch, in one record."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from usassist.errors import UsageError

__all__ = ["WatchProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchProfile:
    """Times and thresholds of a watch. The defaults work for every scanner that was tried.

    Attributes
    ----------
    views : ``single`` or ``dual``: number of images side by side in the scan area
    rate_hz : nominal rate of the grabs; None takes the median of those received
    still_s : no motion for this long is a frozen signal
    confirm_s : every other fault must last this long, and over two checks, before it is reported
    clear_s : a fault must be gone for this long before it is cleared
    colour_clear_s : the same for colour, which comes and goes with the pulse
    silence_s : shortest time without a grab that counts as a lost signal
    silence_most_s : longest such time, however slow the grabs are
    learn_s : how long the screen around the image is observed for parts that move on their own (clock, cursor)
    slow_s : each check but that of motion runs at least this often, one of them per grab
    motion_levels : mean change from grab to grab, in grey levels, below which nothing moved, on a path without noise
    noise_factor : ratio of the change in the image to that beside it from which on something moved in the image
    motion_share : ratio of the change to that while live from which on something moved, anywhere in the image
    noise_spread : share of the image in which a smaller change must occur to count as the scanner's noise
    colour_share : share of the scan area in colour from which on the image is not B-mode
    menu_share : share of the scan area that one flat rectangle must cover
    layout_share : share of the screen's own marks that must be gone for another layout
    ruler_share : share of the ruler's marks that may be in other positions

    Raises
    ------
    UsageError
        If `views` is unknown or a number is not positive.
    """

    views: Literal["single", "dual"] = "single"
    rate_hz: float | None = None
    still_s: float = 0.32
    confirm_s: float = 0.12
    clear_s: float = 0.25
    colour_clear_s: float = 1.0
    silence_s: float = 0.3
    silence_most_s: float = 0.45
    learn_s: float = 1.0
    slow_s: float = 0.09
    motion_levels: float = 0.08
    noise_factor: float = 2.2
    motion_share: float = 0.2
    noise_spread: float = 0.3
    colour_share: float = 0.008
    menu_share: float = 0.03
    layout_share: float = 0.35
    ruler_share: float = 0.4

    def __post_init__(self) -> None:
        """Check the values."""
        if self.views not in ("single", "dual"):
            raise UsageError(f"watch: views must be single or dual, got {self.views!r}; correct it")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "views" and value is not None and not value > 0:
                raise UsageError(f"watch: {field.name} must be positive, got {value!r}; correct it")

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> WatchProfile:
        """Make a profile from a table of a settings file; missing keys keep their defaults.

        Raises
        ------
        UsageError
            If a key is unknown or a value is of the wrong type.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(table.keys() - known):
            raise UsageError(f"watch: unknown keys {', '.join(unknown)}; use {', '.join(sorted(known))}")
        for name, value in table.items():
            wanted = str if name == "views" else (int, float)
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise UsageError(f"watch: {name} has the wrong type, got {value!r}; correct it")
        return cls(**table)
