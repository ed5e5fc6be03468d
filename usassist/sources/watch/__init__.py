"""Judge whether a live signal can be trusted. Start in ``signal_watch.py``; each check is one module beside it."""

from usassist.sources.watch.profile import WatchProfile
from usassist.sources.watch.signal_watch import SignalWatch
from usassist.sources.watch.verdict import SignalVerdict

__all__ = ["SignalVerdict", "SignalWatch", "WatchProfile"]
