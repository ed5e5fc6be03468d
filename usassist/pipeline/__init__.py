"""The loop from source to bus: frames in, one result for every frame out."""

from usassist.pipeline.stream import Stream
from usassist.pipeline.summary import StreamSummary
from usassist.pipeline.task import TASKS, Task

__all__ = ["TASKS", "Stream", "StreamSummary", "Task"]
