"""The ruler that a scanner draws beside its image, read from the whole screen; only numbers leave this package."""

from usassist.sources.ruler.reading import NoRuler, Ruler, RulerCause, RulerReading, read_ruler, ruler_is_same

__all__ = ["NoRuler", "Ruler", "RulerCause", "RulerReading", "read_ruler", "ruler_is_same"]
