"""The setup of a live session that is measured."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Setup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What runs while it is measured.

    Attributes
    ----------
    fps, width_px, height_px : of the loop
    viewers : of the page; without any there is no page either
    stalled : readers that subscribe to everything, as viewers and as archives, and are stopped
    record, overlay : whether those processes run
    engine, backend, precision, threads : see ``StreamOptions``
    faults_s : a fault of the loop every so many seconds; None = no faults
    clip : what the loop plays
    """

    fps: int = 30
    width_px: int = 1280
    height_px: int = 720
    viewers: int = 1
    stalled: int = 0
    record: bool = True
    overlay: bool = True
    engine: str = "thyroid_nodule"
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    faults_s: int | None = None
    clip: str = "demo"

    @property
    def source(self) -> str:
        """Address of the loop."""
        faults = "" if self.faults_s is None else f"&faults={self.faults_s}"
        return f"loop:{self.clip}?fps={self.fps}&size={self.width_px}x{self.height_px}{faults}"
