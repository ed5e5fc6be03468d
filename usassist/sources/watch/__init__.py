"""Whether the picture of a live source can be trusted. Start in ``picture.py``; each check is one module beside it."""

from usassist.sources.watch.profile import WatchProfile
from usassist.sources.watch.signal_watch import SignalWatch
from usassist.sources.watch.verdict import SignalVerdict

__all__ = ["SignalVerdict", "SignalWatch", "WatchProfile"]
