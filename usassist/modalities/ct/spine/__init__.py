"""Vertebral levels of a CT volume: canal, discs, landmarks, and the count that agrees with all of them."""

from usassist.modalities.ct.spine.levels import SpineLevels, VertebraLevel, find_levels
from usassist.modalities.ct.spine.picture import draw_levels

__all__ = ["SpineLevels", "VertebraLevel", "draw_levels", "find_levels"]
