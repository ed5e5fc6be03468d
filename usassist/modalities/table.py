"""The table of modalities: what each is called, where its room is, and which functions run it.

This is the one place that lists them. The commands, the pipeline, the decoders of the engine comparison, the page in
the browser and ``docs/modalities.md`` derive from it. A row is data: it names functions as ``module:function``, which
are imported when they are called, so reading the table imports no modality.

Another distribution adds a row through an entry point of the group ``usassist.modalities``, whose name is the DICOM
code and whose object is a :class:`Modality`::

    [project.entry-points."usassist.modalities"]
    CT = "my_package.ct:MODALITY"

It fills a room that is empty here, or adds a new one. It cannot replace a modality that usassist runs itself.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from usassist.errors import UsageError

__all__ = ["ENTRY_POINTS", "MODALITIES", "Kind", "Modality", "find_modality", "list_modalities", "stream_titles"]

logger = logging.getLogger(__name__)

ENTRY_POINTS = "usassist.modalities"
"""Group of the entry points by which other distributions add rows."""

_CODE = re.compile(r"[A-Z]{2,16}")  # DICOM PS3.3 C.7.3.1.1.1: a code string, and no defined term has other characters
_FUNCTION = re.compile(r"[\w.]+:\w+")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(f"{message}; correct the row")


class Kind(StrEnum):
    """How a modality is run: frame by frame (:class:`usassist.pipeline.Stream`), or a whole study at a time
    (:func:`usassist.pipeline.run_study`)."""

    STREAM = "stream"
    STUDY = "study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """One row of the table.

    Attributes
    ----------
    code : DICOM modality (0008,0060), as in ``engine.toml``
    title : for people
    kind : see :class:`Kind`
    room : package of its code; empty where it has none
    engine_tasks : the ``task`` of the engines that it can run
    make_task : ``module:function`` that makes its task; empty where there is none. The function takes
        ``(spec, scores, point, descriptors)`` for a stream and ``(spec)`` for a study, and raises ``EngineSpecError``
        where the engine does not fit.
    make_association : ``module:function`` that makes what associates the answers of a stream over its frames
        (:class:`usassist.modalities.Association`), or gives None where each frame is answered alone; empty = always so.
        It takes what `make_task` takes.
    make_decoder : ``module:function`` that takes a spec and gives the decoder with which two back ends are compared, or
        None; empty = only tensors are compared
    missing : why nothing of it runs, in one line; set exactly when there is no `make_task`
    provider : the distribution that the row comes from
    """

    code: str
    title: str
    kind: Kind
    room: str = ""
    engine_tasks: tuple[str, ...] = ()
    make_task: str = ""
    make_association: str = ""
    make_decoder: str = ""
    missing: str = ""
    provider: str = "usassist"

    def __post_init__(self) -> None:
        """Check code, functions, and that the row either runs or has a reason why not."""
        _require(bool(_CODE.fullmatch(self.code)), f"modality code must be a DICOM term such as US, got {self.code!r}")
        _require(bool(self.title), f"modality {self.code} needs a title")
        _require(self.kind in tuple(Kind), f"modality {self.code}: kind must be stream or study, got {self.kind!r}")
        for name in (self.make_task, self.make_association, self.make_decoder):
            _require(not name or bool(_FUNCTION.fullmatch(name)), f"modality {self.code}: {name} is no module:function")
        _require(
            bool(self.make_task) != bool(self.missing),
            f"modality {self.code} needs either make_task, or missing with the reason why there is none",
        )
        _require("\n" not in self.missing, f"modality {self.code}: the reason must be one line")
        _require(
            bool(self.make_task) == bool(self.engine_tasks),
            f"modality {self.code}: engine_tasks and make_task go together",
        )

    @property
    def is_available(self) -> bool:
        """True when engines of this modality can be run."""
        return not self.missing

    def load(self, function: str) -> Callable[..., Any]:
        """Import one of the row's functions.

        Raises
        ------
        UsageError
            If the module cannot be imported or lacks the function.
        """
        module, _, name = function.partition(":")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"modality {self.code} of {self.provider} cannot be used: {error}; install {self.provider} again"
            ) from error
        return found


MODALITIES: Mapping[str, Modality] = MappingProxyType(
    {
        row.code: row
        for row in (
            Modality(
                code="US",
                title="Ultrasound",
                kind=Kind.STREAM,
                room="usassist.modalities.ultrasound",
                engine_tasks=("detect_segment",),
                make_task="usassist.modalities.ultrasound.task:make_task",
                make_association="usassist.modalities.ultrasound.answers:make_association",
                make_decoder="usassist.modalities.ultrasound.task:make_decoder",
            ),
            Modality(
                code="CT",
                title="Computed tomography",
                kind=Kind.STUDY,
                room="usassist.modalities.ct",
                engine_tasks=("detect_segment", "segment"),
                make_task="usassist.modalities.ct.task:make_task",
                make_decoder="usassist.modalities.ct.task:make_decoder",
            ),
            Modality(
                code="MR",
                title="Magnetic resonance imaging",
                kind=Kind.STUDY,
                room="usassist.modalities.mri",
                missing="no MRI module yet",
            ),
        )
    }
)
"""DICOM code → row, of what ships with usassist."""


def find_modality(code: str) -> Modality:
    """The row of a DICOM code. Other distributions are only searched where usassist does not run the modality itself.

    Raises
    ------
    UsageError
        If there is none; the message lists those that there are.
    """
    row = MODALITIES.get(code)
    if row is not None and row.is_available:
        return row
    rows = list_modalities()
    if code not in rows:
        raise UsageError(f"no modality {code}; known: {', '.join(rows)}")
    return rows[code]


def list_modalities() -> dict[str, Modality]:
    """Every row by its code: those of :data:`MODALITIES`, then those that other distributions add.

    An entry point that cannot be used is logged and left out; in the place of an empty room it leaves its reason there.
    """
    rows = dict(MODALITIES)
    for code, row in _added().items():
        before = rows.get(code)
        if before is not None and before.is_available:
            logger.warning("modality %s of %s is left out: usassist runs %s itself", code, row.provider, code)
        else:
            rows[code] = row
    return rows


def stream_titles() -> str:
    """Titles of what can be streamed, for a page that is opened before its stream runs."""
    return ", ".join(row.title for row in MODALITIES.values() if row.kind is Kind.STREAM and row.is_available)


@cache
def _added() -> dict[str, Modality]:
    rows: dict[str, Modality] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda item: (item.name, item.value)):
        provider = point.dist.name if point.dist is not None else point.value
        if point.name in rows:
            logger.warning(
                "modality %s of %s is left out: %s is first", point.name, provider, rows[point.name].provider
            )
            continue
        try:
            rows[point.name] = _load(point, provider)
        except Exception as error:  # noqa: BLE001 - code of others may raise anything, and must not end a command
            reason = f"{provider} cannot be used: {' '.join(str(error).split()) or type(error).__name__}"
            logger.warning("modality %s: %s", point.name, reason)
            built_in = MODALITIES.get(point.name)
            if built_in is not None:
                rows[point.name] = dataclasses.replace(built_in, missing=reason, make_task="", engine_tasks=())
    return rows


def _load(point: EntryPoint, provider: str) -> Modality:
    row = point.load()
    if not isinstance(row, Modality):
        raise UsageError(f"{point.value} is {type(row).__name__}, not a Modality; name a row of the table")
    if row.code != point.name:
        raise UsageError(f"the entry point is called {point.name}, its row {row.code}; rename one")
    return dataclasses.replace(row, provider=provider)
