"""Versioned messages on ZeroMQ: one table of topics, one codec, publishers, two kinds of subscriber, a log."""

from usassist.bus.codec import Message, decode, frame_from, peek_topic, result_from
from usassist.bus.control import ControlAction, ControlBody, ControlState
from usassist.bus.inbox import Inbox
from usassist.bus.log import LoggedMessage, LogReader, MessageLogWriter, read_log
from usassist.bus.publisher import Publisher
from usassist.bus.subscriber import Subscriber
from usassist.bus.topics import (
    TOPICS,
    AssociationBody,
    DescriptorBody,
    EngineBody,
    FrameBody,
    HealthBody,
    LabelBody,
    MarkBody,
    MarkKind,
    Plane,
    PointBody,
    ResultBody,
    SessionBody,
    SessionState,
    Side,
    SignalBody,
    StageBody,
    Topic,
    TrackingBody,
    TrackingClock,
)

__all__ = [
    "TOPICS",
    "AssociationBody",
    "ControlAction",
    "ControlBody",
    "ControlState",
    "DescriptorBody",
    "EngineBody",
    "FrameBody",
    "HealthBody",
    "Inbox",
    "LabelBody",
    "LogReader",
    "LoggedMessage",
    "MarkBody",
    "MarkKind",
    "Message",
    "MessageLogWriter",
    "Plane",
    "PointBody",
    "Publisher",
    "ResultBody",
    "SessionBody",
    "SessionState",
    "Side",
    "SignalBody",
    "StageBody",
    "Subscriber",
    "Topic",
    "TrackingBody",
    "TrackingClock",
    "decode",
    "frame_from",
    "peek_topic",
    "read_log",
    "result_from",
]
