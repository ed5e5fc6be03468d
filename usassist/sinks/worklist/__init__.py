"""The files by which a worklist process and a page know each other: the list, and the requests of its readers."""

from usassist.sinks.worklist.inbox import Mark, pending_marks, put_mark, take_marks
from usassist.sinks.worklist.schema import (
    LIST_FILE,
    PLACES_FILE,
    RESULTS_FOLDER,
    STATE_FOLDER,
    Group,
    Heartbeat,
    Place,
    Row,
    State,
    Version,
    Worklist,
    find_list,
    read_places,
    read_worklist,
)

__all__ = [
    "LIST_FILE",
    "PLACES_FILE",
    "RESULTS_FOLDER",
    "STATE_FOLDER",
    "Group",
    "Heartbeat",
    "Mark",
    "Place",
    "Row",
    "State",
    "Version",
    "Worklist",
    "find_list",
    "pending_marks",
    "put_mark",
    "read_places",
    "read_worklist",
    "take_marks",
]
