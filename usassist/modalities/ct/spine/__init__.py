"""Vertebral levels of a CT volume: canal, discs, landmarks, and the count that agrees with all of them."""

from usassist.modalities.ct.spine.levels import SpineLevels, VertebraLevel, find_levels

__all__ = ["SpineLevels", "VertebraLevel", "find_levels"]
