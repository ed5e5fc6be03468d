"""The ruler that a scanner draws beside its image, read from the whole screen; only numbers leave this package."""

from usassist.sources.ruler.answer import PLAUSIBLE_DEPTH_MM, NoRuler, Ruler, RulerCause, RulerReading
from usassist.sources.ruler.reading import read_ruler
from usassist.sources.ruler.same import figure_patches, ruler_columns, ruler_is_same, rulers_are_same

__all__ = [
    "PLAUSIBLE_DEPTH_MM",
    "NoRuler",
    "Ruler",
    "RulerCause",
    "RulerReading",
    "figure_patches",
    "read_ruler",
    "ruler_columns",
    "ruler_is_same",
    "rulers_are_same",
]
