"""Versioned messages on ZeroMQ: one table of topics, one codec, publishers, two kinds of subscriber, a log."""

from usassist.bus.codec import Message, decode, frame_from, peek_topic, result_from
from usassist.bus.log import LoggedMessage, MessageLogWriter, read_log
from usassist.bus.publisher import Publisher
from usassist.bus.subscriber import Subscriber
from usassist.bus.topics import (
    TOPICS,
    DescriptorBody,
    EngineBody,
    FrameBody,
    HealthBody,
    LabelBody,
    PointBody,
    ResultBody,
    SessionBody,
    SessionState,
    SignalBody,
    Topic,
)

__all__ = [
    "TOPICS",
    "DescriptorBody",
    "EngineBody",
    "FrameBody",
    "HealthBody",
    "LabelBody",
    "LoggedMessage",
    "Message",
    "MessageLogWriter",
    "PointBody",
    "Publisher",
    "ResultBody",
    "SessionBody",
    "SessionState",
    "SignalBody",
    "Subscriber",
    "Topic",
    "decode",
    "frame_from",
    "peek_topic",
    "read_log",
    "result_from",
]
