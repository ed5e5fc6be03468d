"""What the page tells of the whole sweep so far: every frame, every nodule, the best planes. In memory only."""

from usassist.sinks.panel.sweep.log import MarkAt, NoduleOfSweep, ShownFrame, SweepAt, SweepLog

__all__ = ["MarkAt", "NoduleOfSweep", "ShownFrame", "SweepAt", "SweepLog"]
