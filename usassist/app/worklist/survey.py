"""The looks at a watched folder: what came, what went, what is at rest and has to be scored.

A look at thousands of studies must not read thousands of folders: of a study at rest only the times of its folders are
compared, which change when a file comes, goes or is renamed; all its files are looked at in turn, some studies a look.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from usassist.app.worklist.settle import Settling
from usassist.app.worklist.units import Unit, UnitState, list_units, look_at

__all__ = ["Survey", "Surveyed"]

_IN_TURN = 20  # studies a look whose files are all looked at


@dataclass(slots=True, kw_only=True)
class Surveyed:
    """A study that is there.

    Attributes
    ----------
    unit : where it is
    state : its files
    at_rest : nothing has changed for the quiet time
    """

    unit: Unit
    state: UnitState
    at_rest: bool = False


@dataclass(slots=True)
class Survey:
    """Looks at a folder again and again.

    Parameters
    ----------
    folder : of the studies
    name_study : place → pseudonym
    quiet_s : for so long a study must not have changed
    beat : called between studies

    Attributes
    ----------
    found : pseudonym → study that is there now
    left_out : of the newest look, see ``units.Look``
    """

    folder: Path
    name_study: Callable[[str], str]
    quiet_s: float
    beat: Callable[[], None] = lambda: None
    found: dict[str, Surveyed] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    _settling: Settling = field(init=False)
    _turn: int = 0

    def __post_init__(self) -> None:
        """Begin without any look."""
        self._settling = Settling(self.quiet_s)

    def look(self) -> None:
        """Take a look.

        Raises
        ------
        OSError
            If the folder cannot be read; nothing is taken to have gone then.
        """
        look = list_units(self.folder)
        self.left_out = look.left_out
        units = {self.name_study(unit.place): unit for unit in look.units}
        for study in [study for study in self.found if study not in units]:
            del self.found[study]
            self._settling.forget(study)
        in_turn = self._in_turn(list(units))
        for study, unit in units.items():
            self.beat()
            known = self.found.get(study)
            if known is not None and known.at_rest and study not in in_turn and _folders_stay(known):
                continue
            state = look_at(unit)
            if state is None or (unit.is_folder and not state.count):
                self._lose(study, known, state)
                continue
            at_rest = self._settling.see(study, state.signature, time.monotonic())
            self.found[study] = Surveyed(unit=unit, state=state, at_rest=at_rest)

    def unsettle(self, study: str) -> None:
        """Have a study come to rest again: its files changed while it was scored."""
        self._settling.forget(study)
        if study in self.found:
            self.found[study].at_rest = False

    def _lose(self, study: str, known: Surveyed | None, state: UnitState | None) -> None:
        """A folder without files is no study yet; one that cannot be read now is looked at again."""
        if state is None and known is not None and os.path.lexists(known.unit.path):
            self.unsettle(study)
            return
        self.found.pop(study, None)
        self._settling.forget(study)

    def _in_turn(self, studies: list[str]) -> set[str]:
        if len(studies) <= _IN_TURN:
            return set(studies)
        self._turn %= len(studies)
        chosen = set(islice(studies, self._turn, self._turn + _IN_TURN))
        self._turn += _IN_TURN
        return chosen


def _folders_stay(known: Surveyed) -> bool:
    if not known.unit.is_folder:
        return False
    try:
        return all(os.stat(path).st_mtime_ns == before for path, before in known.state.folders)
    except OSError:
        return False
