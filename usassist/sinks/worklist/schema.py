"""``worklist.json``: a list of studies in the order in which they should be read.

It names no patient: a study is a pseudonym. Where its files are is in another file, :data:`PLACES_FILE`, because names
of folders often hold identity. Both have mode 0600. What the fields mean to a reader: ``docs/ct-worklist.md``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

import msgspec

from usassist.errors import UsageError

__all__ = [
    "LIST_FILE",
    "PLACES_FILE",
    "RESULTS_FOLDER",
    "SCHEMA_VERSION",
    "STATE_FOLDER",
    "Group",
    "Heartbeat",
    "Place",
    "Row",
    "State",
    "Version",
    "Worklist",
    "find_list",
    "read_places",
    "read_worklist",
]

SCHEMA_VERSION = "1.0"
STATE_FOLDER = ".usassist-worklist"
LIST_FILE, PLACES_FILE, RESULTS_FOLDER = "worklist.json", "places.jsonl", "results"

Group = Literal["suspicious", "not_scored", "queue", "read"]
State = Literal["arriving", "waiting", "scoring", "suspicious", "unflagged", "failed"]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of scoring a study once. A study whose files change is scored again, as the next version.

    Attributes
    ----------
    version : from 1
    state : ``suspicious``, ``unflagged`` or ``failed``
    score : 0 to 1; None = there is none
    reason : why there is no answer; empty where there is one
    code : kind of the reason, see ``docs/ct-worklist.md``; empty where there is an answer
    scored_utc : when, ISO 8601
    scoring_s : how long it took; None where it was not scored for this row
    engine : name and version of what scored it; empty where nothing did
    series : pseudonym of the series that was scored; empty where there is none
    result : name of the folder with its results; empty where there is none
    montage : that folder holds ``montage.png``
    same_as : pseudonym of the study whose answer this is, because the contents are the same; empty = its own
    """

    version: int
    state: Literal["suspicious", "unflagged", "failed"]
    score: float | None
    reason: str
    code: str
    scored_utc: str
    scoring_s: float | None
    engine: str
    series: str
    result: str
    montage: bool
    same_as: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One study.

    Attributes
    ----------
    study : pseudonym; it stays the same as long as the study stays in its place
    place : in the list, from 1
    group : part of the list that it stands in
    state : of its newest version
    score : highest of the versions that nobody has read yet; None = there is none
    arrival : number by order of arrival, from 1. The order goes by this number, so a changed clock does not alter it
    arrived_utc : when it was seen first, ISO 8601
    waiting_s : from arrival until now, or until it was marked read
    present : False = its files have gone
    versions : oldest first; empty = it was not scored yet
    read_utc : when it was marked read; empty = it was not
    grown : files changed after it was scored, or after it was read
    """

    study: str
    place: int
    group: Group
    state: State
    score: float | None
    arrival: int
    arrived_utc: str
    waiting_s: float
    present: bool
    versions: tuple[Version, ...]
    read_utc: str
    grown: bool


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process behind the list is alive.

    Attributes
    ----------
    count : grows each time the file is written; where it does not, the list is stale
    written_utc : when the file was written, ISO 8601
    stale_after_s : a reader that sees no new count for so long has to call the list stale
    state : ``running``, or ``ended`` when the process ended in order
    problem : what keeps the process from its work, one line; empty = nothing
    """

    count: int
    written_utc: str
    stale_after_s: float
    state: Literal["running", "ended"]
    problem: str = ""


class Worklist(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file.

    Attributes
    ----------
    schema : always ``usassist-worklist``
    schema_version : a reader of 1.x understands every 1.y
    notice : what the list is not; to be shown with it
    heartbeat : see :class:`Heartbeat`
    engine : that new studies are scored with
    threshold : score from which a study is suspicious; None = the engine's own decision
    studies : in the order in which they should be read
    left_out : what else lies in the folder and is no study: kind → count
    damaged_lines : of the journal, which could not be read
    """

    schema: Literal["usassist-worklist"] = "usassist-worklist"
    schema_version: str = SCHEMA_VERSION
    notice: str
    heartbeat: Heartbeat
    engine: str
    threshold: float | None
    studies: tuple[Row, ...]
    left_out: dict[str, int]
    damaged_lines: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A line of :data:`PLACES_FILE`: where the files of a study are.

    Attributes
    ----------
    study : pseudonym
    path : absolute
    """

    study: str
    path: str


def read_worklist(path: Path) -> Worklist:
    """Read a list.

    Raises
    ------
    UsageError
        If it is no list, or of another major version.
    OSError
        If it cannot be read.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Worklist)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path.name} is no worklist, or is damaged; name the file that usassist writes") from error
    if found.schema_version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise UsageError(
            f"the worklist has schema {found.schema_version}, this program reads {SCHEMA_VERSION}; use the same version"
        )
    return found


def find_list(path: Path) -> Path:
    """The list that a person means: the file itself, or that of a folder of studies or of a folder of state.

    Raises
    ------
    UsageError
        If there is none.
    """
    with contextlib.suppress(OSError):
        if path.is_file():
            return path
        for candidate in (path / LIST_FILE, path / STATE_FOLDER / LIST_FILE):
            if candidate.is_file():
                return candidate
    raise UsageError(
        f"{path} has no {LIST_FILE}; name a folder that usassist ct worklist watches, its folder of state, or the file"
    )


def read_places(folder: Path) -> dict[str, str]:
    """Pseudonym → path of the study, from a folder of state; a line that a crash cut off is left out."""
    places: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / PLACES_FILE).read_bytes().split(b"\n"):
            with contextlib.suppress(msgspec.DecodeError):
                place = msgspec.json.decode(line, type=Place)
                places[place.study] = place.path
    return places
