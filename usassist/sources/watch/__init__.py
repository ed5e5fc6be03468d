"""Judge whether an image can be trusted: ``signal_watch.py`` for a live signal, ``clip_watch.py`` for a recording.

Each check is one module beside them.
"""

from usassist.sources.watch.clip_watch import ClipWatch
from usassist.sources.watch.profile import WatchProfile
from usassist.sources.watch.signal_watch import SignalWatch
from usassist.sources.watch.verdict import SignalVerdict

__all__ = ["ClipWatch", "SignalVerdict", "SignalWatch", "WatchProfile"]
