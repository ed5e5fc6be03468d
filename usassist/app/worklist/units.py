"""What lies in a watched folder: studies, as sub-folders, zip files or single files, and what is no study.

Only names, sizes and times are looked at here; nothing of a file is parsed, and links to folders are never followed.
A folder that ``usassist pacs listen`` receives into is known by its two folders: a study is complete when it has been
moved to ``studies/``, so ``incoming/`` is left alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from usassist.dicom.network.store import INCOMING, STUDIES

__all__ = [
    "MAX_FILES",
    "Look",
    "Unit",
    "UnitState",
    "content_files",
    "is_ignored",
    "list_units",
    "look_at",
    "loose_slices",
]

MAX_FILES = 50_000
MAX_DEPTH = 12
_LOOSE = 3
_SUFFIXES = (".zip", ".dcm", ".dicom", ".ima", ".nii", ".nii.gz")
# Names that copying programs use until a file is complete.
_TEMPORARY = re.compile(r".*(~|\.(tmp|temp|part|partial|filepart|crdownload|download|swp|lock|!ut))", re.IGNORECASE)
_MAGIC_AT, _MAGIC = 128, b"DICM"  # PS3.10 section 7.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is scored as one study.

    Attributes
    ----------
    place : its name below the watched folder
    path : absolute
    is_folder : False = a zip or a single file
    """

    place: str
    path: Path
    is_folder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What lies in a folder.

    Attributes
    ----------
    units : by name
    left_out : kind → count: ``link`` to a folder, ``other_file``
    """

    units: tuple[Unit, ...]
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """The files of a unit at one moment.

    Attributes
    ----------
    signature : changes when a name, a size or a time of change of any file does, also of files that are ignored
    count : of its files, without those that are ignored
    newest_ns : latest time of change
    folders : path and time of change of each folder; where these stay, no file came, went or was renamed
    too_large : it has more files or deeper folders than are looked at
    """

    signature: str
    count: int
    newest_ns: int
    folders: tuple[tuple[str, int], ...]
    too_large: bool = False


def is_ignored(name: str) -> bool:
    """True for hidden and temporary names, which are no part of a study."""
    return name.startswith(".") or bool(_TEMPORARY.fullmatch(name))


def list_units(folder: Path) -> Look:
    """The units of a folder.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    is_store = (folder / INCOMING).is_dir() and (folder / STUDIES).is_dir()
    root = folder / STUDIES if is_store else folder
    units: list[Unit] = []
    left_out: Counter[str] = Counter()
    with os.scandir(root) as entries:
        for entry in entries:
            if is_ignored(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                kind = "folder"
            elif entry.is_symlink() and not os.path.isfile(entry.path):
                kind = "link"
            else:
                kind = "file" if entry.is_file() and _may_be_study(entry) else "other_file"
            if kind in ("link", "other_file"):
                left_out[kind] += 1
                continue
            place = f"{STUDIES}/{entry.name}" if is_store else entry.name
            units.append(Unit(place=place, path=Path(entry.path), is_folder=kind == "folder"))
    return Look(units=tuple(sorted(units, key=lambda unit: unit.place)), left_out=dict(left_out))


def look_at(unit: Unit) -> UnitState | None:
    """The files of a unit now; None where it is gone, or changes while it is looked at."""
    try:
        if not unit.is_folder:
            status = os.stat(unit.path)
            line = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
            return UnitState(signature=_short(line), count=1, newest_ns=status.st_mtime_ns, folders=())
        return _walk(unit.path)
    except PermissionError:  # it is there, so it is listed, with the reason that reading it gives
        return UnitState(signature=_short("no permission"), count=1, newest_ns=0, folders=())
    except OSError:
        return None


def content_files(unit: Unit) -> list[Path]:
    """The files of a unit that are its content, sorted by path.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    if not unit.is_folder:
        return [unit.path]
    found: list[Path] = []
    waiting = [unit.path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file():
                    found.append(Path(entry.path))
    return sorted(found)


def _walk(top: Path) -> UnitState:
    lines: list[str] = []
    folders: list[tuple[str, int]] = []
    count, newest_ns, too_large = 0, 0, False
    waiting = [(str(top), 0)]
    while waiting and not too_large:
        path, depth = waiting.pop()
        folders.append((path, os.stat(path).st_mtime_ns))
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if depth + 1 > MAX_DEPTH:
                        too_large = True
                    elif not entry.name.startswith("."):
                        waiting.append((entry.path, depth + 1))
                    continue
                if not entry.is_file():  # a link to a folder, a link to nothing, a pipe
                    lines.append(f"{entry.path} other")
                    continue
                status = entry.stat()
                lines.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
                if not is_ignored(entry.name):
                    count += 1
                    newest_ns = max(newest_ns, status.st_mtime_ns)
        too_large = too_large or len(lines) > MAX_FILES
    lines += [path for path, _ in folders]
    signature = _short("\n".join(sorted(lines)))
    return UnitState(signature=signature, count=count, newest_ns=newest_ns, folders=tuple(folders), too_large=too_large)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _may_be_study(entry: os.DirEntry[str]) -> bool:
    """True for a file that by its name or its first bytes may hold images."""
    if entry.name.lower().endswith(_SUFFIXES):
        return True
    try:
        with open(entry.path, "rb") as file:
            return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


def loose_slices(folder: Path) -> bool:
    """True for a folder whose own files are the slices of one study: then it holds no studies.

    Of the files that lie in it, without any folder, the first few have one frame each and the same Study Instance UID.
    """
    from usassist.dicom.network.store_listing import read_objects

    look = list_units(folder)
    files = [unit.path for unit in look.units if not unit.is_folder and unit.path.suffix.lower() != ".zip"]
    if len(files) < _LOOSE or len(files) != len(look.units):
        return False
    objects, _ = read_objects(files[:_LOOSE])
    return len(objects) == _LOOSE and len({item.study_uid for item in objects}) == 1 and objects[0].frames <= 1
