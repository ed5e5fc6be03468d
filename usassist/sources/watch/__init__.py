"""Whether the picture of a live source can be trusted. Start in ``picture.py``; each check is one module beside it."""

from usassist.sources.watch.alarm import Verdict
from usassist.sources.watch.picture import PictureWatch
from usassist.sources.watch.profile import WatchProfile

__all__ = ["PictureWatch", "Verdict", "WatchProfile"]
