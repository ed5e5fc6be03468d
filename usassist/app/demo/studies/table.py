"""What the tabs for studies offer: by modality the windows, the simulated studies, and the modules with their options.

This is the one place of the demo page that knows a modality; all else derives from it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from usassist.app.demo.studies.bundle import Preset
from usassist.clinical.sarcopenia import load_cutoffs
from usassist.engine import find_engine
from usassist.errors import EngineNotFoundError, UsageError, UsAssistError
from usassist.modalities import list_modalities

__all__ = ["TABS", "Module", "Option", "StudyTab", "missing_libraries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Something of a module that a visitor may set; its label is the word ``setup.NAME``.

    Attributes
    ----------
    name : as the task takes it
    choices : that there are; empty = a number
    default : of the choices; it is not passed on. A choice may have a word, ``setup.NAME_CHOICE``
    least, most : of a number
    """

    name: str
    choices: tuple[str, ...] = ()
    default: str = ""
    least: float = 0.0
    most: float = 0.0

    def check(self, value: object) -> str | float | None:
        """A value as it is passed on; None where it was left as it is.

        Raises
        ------
        UsageError
            If it is none of the choices, or no number from least to most.
        """
        if value is None or value in ("", self.default):
            return None
        if self.choices:
            if value not in self.choices:
                raise UsageError(f"{self.name} must be one of {', '.join(self.choices)}, got {str(value)[:40]!r}")
            return str(value)
        try:
            number = float(str(value).replace(",", "."))
        except ValueError:
            number = math.nan
        if not self.least <= number <= self.most:
            raise UsageError(f"{self.name} must be a number from {self.least:g} to {self.most:g}; correct it")
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One question that can be asked of a study; its title is the word ``module.NAME``.

    Attributes
    ----------
    name : short
    engine : that answers it
    options : of it
    prepare : ``module:function`` that takes what was set of the options and gives a ``Prepared``; empty = the options
        are the task's
    preset : window that its studies are first seen in
    headline : measurement that stands beside the state; empty = none
    is_measuring : it measures what is always there, so its answer is no finding in the sense of a disease
    """

    name: str
    engine: str
    options: tuple[Option, ...] = ()
    prepare: str = ""
    preset: str = ""
    headline: str = ""
    is_measuring: bool = False

    @property
    def missing(self) -> str:
        """Why it cannot be run here, in one line without a full stop; empty where it can."""
        try:
            find_engine(self.engine)
        except EngineNotFoundError:
            return f"the engine {self.engine} is not installed"
        except UsAssistError as error:
            return str(error).rstrip(".")
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTab:
    """One tab.

    Attributes
    ----------
    code : of the modality
    presets : windows; the name of each is the word ``window.NAME``
    simulated : names of the studies that :func:`usassist.app.demo.studies.material.make_series` makes; the title of
        each is the word ``item.NAME``, and its module what it is for
    modules : in their order
    """

    code: str
    presets: tuple[Preset, ...]
    simulated: Mapping[str, str]
    modules: tuple[Module, ...]

    @property
    def title(self) -> str:
        """Of the tab."""
        return self.code

    @property
    def missing(self) -> str:
        """Why nothing can be analysed here; empty where something can."""
        row = list_modalities().get(self.code)
        if row is None or not row.is_available:
            return f"no {self.code} module" if row is None else row.missing
        reasons = [module.missing for module in self.modules]
        return "" if not all(reasons) else reasons[0]

    @property
    def api_name(self) -> str:
        """Of the endpoint for programs."""
        return f"answer_{self.code.lower()}"

    @property
    def options(self) -> tuple[Option, ...]:
        """Of all modules, each once."""
        return tuple({option.name: option for module in self.modules for option in module.options}.values())

    def module(self, name: str) -> Module:
        """By name; ``KeyError`` where there is none."""
        return {module.name: module for module in self.modules}[name]


def missing_libraries() -> str:
    """Which optional libraries are missing, and what does not work without them; empty where all are here."""
    told = []
    for library, extra, use in (("nibabel", "volumes", "NIfTI files"), ("highdicom", "dicom", "DICOM SEG and SR")):
        try:
            importlib.import_module(library)
        except ImportError:
            told.append(f"{use}: pip install 'usassist[{extra}]'")
    return "; ".join(told)


_LEVELS = ("auto", "L3", "T12", "L1", "L2", "L4", "L5", "all")

TABS: Mapping[str, StudyTab] = MappingProxyType(
    {
        "CT": StudyTab(
            code="CT",
            presets=(
                Preset("brain", 80, 40),
                Preset("subdural", 200, 80),
                Preset("bone", 2800, 600),
                Preset("soft", 400, 40),
                Preset("lung", 1500, -600),
            ),
            simulated=MappingProxyType({"head_bleed": "ich", "head_normal": "ich", "abdomen": "bodycomp"}),
            modules=(
                Module(name="ich", engine="ct_ich", preset="brain", headline="haemorrhage_volume"),
                Module(
                    name="bodycomp",
                    engine="ct_bodycomp",
                    prepare="usassist.app.demo.studies.bodycomp:prepare",
                    preset="soft",
                    options=(
                        Option(name="level", choices=_LEVELS, default="auto"),
                        Option(name="height", least=0.5, most=2.5),
                        Option(name="cutoffs", choices=("none", *load_cutoffs()), default="none"),
                    ),
                    is_measuring=True,
                ),
            ),
        )
    }
)
"""DICOM code → tab."""
