"""What is written of a body composition beside the files of every study: levels, measures, cut-offs, pictures."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from usassist.app.studies.answer import StudyOutcome
from usassist.app.studies.bodycomp_picture import draw_level
from usassist.app.studies.planes import plane_centre_lps_mm
from usassist.clinical.sarcopenia import CutoffSet, apply_cutoffs
from usassist.errors import StudyError
from usassist.modalities.ct.body.checks import PlaneChecks, check_plane
from usassist.modalities.ct.body.levels import PlaneChoice
from usassist.modalities.ct.body.measures import MEASURED, PlaneMeasures, measure_plane, pixel_area_mm2
from usassist.modalities.ct.body.orientation import find_orientation
from usassist.modalities.ct.body.tissues import RANGES, Tissue

__all__ = ["BodyWriter", "Given"]

BODY_VERSION = (1, 0)
_SEXES = ("M", "F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A fact about the patient that measures are related to.

    Attributes
    ----------
    value : None = not known
    origin : ``option``, ``header`` or ``not known``
    """

    value: Any
    origin: str

    @classmethod
    def choose(cls, option: Any, header: Any) -> Given:
        """What the user says, else what the header says."""
        if option is not None:
            return cls(value=option, origin="option")
        return cls(value=header, origin="not known" if header is None else "header")


@dataclass(slots=True, kw_only=True)
class BodyWriter:
    """Writes ``bodycomp.json``, ``measures.csv`` and one picture a level; a writer of ``answer_study``.

    Attributes
    ----------
    height_m, weight_kg, sex : what the user says of the patient; None = the header's
    cutoffs : sets that are applied
    choice : the planes that were measured; :meth:`take` receives them while the study runs
    document : what was written, after the call
    """

    height_m: float | None = None
    weight_kg: float | None = None
    sex: str | None = None
    cutoffs: tuple[CutoffSet, ...] = ()
    choice: PlaneChoice | None = None
    document: dict[str, Any] = field(default_factory=dict)

    def take(self, choice: PlaneChoice) -> None:
        """Receive the planes, see ``BodyOptions.on_choice``."""
        self.choice = choice

    def notes(self, outcome: StudyOutcome) -> tuple[str, ...]:
        """Height and cut-offs for the DICOM report: no index stands in it without the height that it rests on."""
        height = Given.choose(self.height_m, outcome.input.facts.patient.height_m)
        said = []
        if height.value is not None:
            said.append(f"The skeletal muscle index rests on a height of {height.value:g} m ({height.origin}).")
        said += [f"Cut-off set applied to it: {item.name} ({item.id}; {item.source})." for item in self.cutoffs]
        return tuple(said)

    def __call__(self, outcome: StudyOutcome, folder: Path) -> Sequence[str]:
        """Write the files and give their names."""
        rows = self._rows(outcome)
        self.document = self._describe(outcome, rows)
        text = json.dumps(self.document, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "bodycomp.json").write_text(text + "\n", encoding="utf-8")
        self._write_csv(outcome, rows, folder / "measures.csv")
        names = ["bodycomp.json", "measures.csv"]
        for level in self.document["levels"]:
            name = f"overlay_{level['level'].lower()}.png"
            picture = draw_level(outcome, level)
            if not cv2.imwrite(str(folder / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
                raise StudyError(f"{name} cannot be written; free some space")
            names.append(name)
        return names

    def _rows(self, outcome: StudyOutcome) -> list[tuple[PlaneMeasures, PlaneChecks]]:
        answer, volume, choice = outcome.result.answer, outcome.input.volume, self.choice
        if answer is None or answer.labelmap is None or choice is None:
            raise StudyError("the study has no planes that were measured; run it again")
        turned = find_orientation(volume)
        pixel_mm2, spacing = pixel_area_mm2(volume), turned.spacing_yx_mm(volume)
        rows = []
        for z in range(choice.first, choice.stop):
            labels, plane = answer.labelmap[z], volume.voxels[z]
            checks = check_plane(turned.turn(labels), turned.turn(plane), spacing)
            rows.append((measure_plane(labels, plane, pixel_mm2, z), checks))
        return rows

    def _describe(self, outcome: StudyOutcome, rows: list[tuple[PlaneMeasures, PlaneChecks]]) -> dict[str, Any]:
        choice, answer, patient = self.choice, outcome.result.answer, outcome.input.facts.patient
        assert choice is not None
        assert answer is not None
        height = Given.choose(self.height_m, patient.height_m)
        weight = Given.choose(self.weight_kg, patient.weight_kg)
        sex = Given.choose(self.sex, patient.sex if patient.sex in _SEXES else None)
        bmi = None if None in (height.value, weight.value) else weight.value / height.value**2
        by_name = {item.name: item for item in answer.measurements}

        def one(name: str) -> dict[str, Any] | None:
            item = by_name.get(name)
            if item is None:
                return None
            return {"value": _round(item.value), "unit": item.unit, "u95": item.u95, "reason": item.reason}

        levels = []
        for name, level in choice.levels.items():
            measures, checks = rows[level.plane - choice.first]
            end = name.lower()
            index = one(f"skeletal_muscle_index_{end}")
            value = None if index is None else index["value"]
            said = {"sex": sex.value, "bmi": bmi, "is_lower_bound": checks.is_cut_off}
            verdicts = [apply_cutoffs(item, value, name, **said) for item in self.cutoffs]
            levels.append(
                {
                    "level": name,
                    "plane": level.plane,
                    "slice": level.plane + 1,
                    "slices": outcome.input.volume.shape_zyx[0],
                    "centre_lps_mm": plane_centre_lps_mm(outcome.input.volume, level.plane),
                    "confidence": level.confidence,
                    "found_by": level.reason,
                    "areas": {t.name.lower(): one(f"{t.name.lower()}_area_{end}") for t in MEASURED}
                    | {key: one(f"{key}_area_{end}") for key in ("body", "muscle_wall")},
                    "mean_hu": {t.name.lower(): one(f"{t.name.lower()}_mean_{end}") for t in MEASURED},
                    "sd_hu": {t.name.lower(): _round(measures.sd_hu[t]) for t in MEASURED},
                    "skeletal_muscle_index": index,
                    "cutoffs": [dataclasses.asdict(item) for item in verdicts],
                    "is_cut_off": checks.is_cut_off,
                    "doubts": list(checks.doubts),
                }
            )
        return {
            "schema": "usassist.bodycomp",
            "version": list(BODY_VERSION),
            "engine": outcome.result.engine_id,
            "series_id": outcome.result.series_id,
            "patient": {
                "height_m": dataclasses.asdict(height),
                "weight_kg": dataclasses.asdict(weight),
                "sex": dataclasses.asdict(sex),
                "bmi_kg_m2": _round(bmi),
            },
            "cutoff_sets": [item.id for item in self.cutoffs],
            "levels": levels,
            "not_measured": dict(choice.missing),
            "planes": {"first": choice.first, "last": choice.stop - 1},
            "volumes": {t.name.lower(): one(f"{t.name.lower()}_volume") for t in MEASURED},
            "hu_ranges": {t.name.lower(): dataclasses.asdict(item) for t, item in RANGES.items()},
        }

    def _write_csv(self, outcome: StudyOutcome, rows: list[tuple[PlaneMeasures, PlaneChecks]], path: Path) -> None:
        assert self.choice is not None
        centres = {level.plane: name for name, level in self.choice.levels.items()}
        spans = {z: n for n, level in self.choice.levels.items() for z in range(level.first, level.stop)}
        tissues = [tissue.name.lower() for tissue in MEASURED]
        head = ["slice", "z_mm", "level", "is_centre"]
        head += [f"{name}_cm2" for name in (*tissues, "body", "muscle_wall")] + [f"{name}_mean_hu" for name in tissues]
        head += ["skeletal_muscle_sd_hu", "is_cut_off", "doubts"]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            for measures, checks in rows:
                z = measures.plane
                areas = [*(measures.area_cm2[t] for t in MEASURED), measures.body_cm2, measures.wall_cm2]
                values = [*areas, *(measures.mean_hu[t] for t in MEASURED), measures.sd_hu[Tissue.SKELETAL_MUSCLE]]
                row = [z + 1, plane_centre_lps_mm(outcome.input.volume, z)[2], spans.get(z, ""), int(z in centres)]
                row += ["" if value is None else f"{value:.3f}" for value in values]
                writer.writerow([*row, int(checks.is_cut_off), "; ".join(checks.doubts)])


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
