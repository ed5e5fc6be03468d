"""A recorded session as one thing: its manifest, frames, results, marks, messages, and what is missing of it."""

from usassist.records import FrameLine
from usassist.session.followed import read_followed
from usassist.session.lines import MarkLine
from usassist.session.manifest import Manifest, read_manifest
from usassist.session.messages import whole_message
from usassist.session.migrations import migration
from usassist.session.opening import Gap, RecordedSession, SessionLine, open_session

__all__ = [
    "FrameLine",
    "Gap",
    "Manifest",
    "MarkLine",
    "RecordedSession",
    "SessionLine",
    "migration",
    "open_session",
    "read_followed",
    "read_manifest",
    "whole_message",
]
