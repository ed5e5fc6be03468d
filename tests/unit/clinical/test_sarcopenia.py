"""Cut-offs of the muscle index are data with a source, and applied only to whom they are for."""

from __future__ import annotations

import pytest

from usassist.clinical.sarcopenia import apply_cutoffs, find_cutoffs, load_cutoffs
from usassist.errors import UsageError


def test_every_set_names_its_source_and_population() -> None:
    sets = load_cutoffs()
    assert {"prado_2008", "martin_2013", "japan_2016", "hamaguchi_2018", "kaibori_2015"} <= set(sets)
    for item in sets.values():
        assert item.source
        assert item.population
        assert item.checked_against


@pytest.mark.parametrize(
    ("name", "sex", "bmi", "cutoff"),
    [
        ("prado", "M", None, 52.4),
        ("prado", "F", None, 38.5),
        ("martin", "M", 24.9, 43.0),
        ("martin", "M", 25.0, 53.0),
        ("martin", "F", 31.0, 41.0),
        ("japan", "M", None, 42.0),
        ("japan", "F", None, 38.0),
        ("hamaguchi", "M", None, 40.31),
        ("hamaguchi", "F", None, 30.88),
        ("kaibori", "M", None, 44.0),
        ("kaibori", "F", None, 38.0),
    ],
)
def test_published_values(name: str, sex: str, bmi: float | None, cutoff: float) -> None:
    verdict = apply_cutoffs(find_cutoffs(name), cutoff - 0.1, "L3", sex=sex, bmi=bmi)
    assert (verdict.cutoff, verdict.is_low, verdict.reason) == (cutoff, True, "")
    assert apply_cutoffs(find_cutoffs(name), cutoff + 0.1, "L3", sex=sex, bmi=bmi).is_low is False


def test_the_cutoff_itself_is_low_only_where_published_so() -> None:
    assert apply_cutoffs(find_cutoffs("prado"), 52.4, "L3", sex="M", bmi=None).is_low is True
    assert apply_cutoffs(find_cutoffs("martin"), 41.0, "L3", sex="F", bmi=20.0).is_low is False


@pytest.mark.parametrize(
    ("index", "level", "sex", "bmi", "reason"),
    [
        (None, "L3", "M", 22.0, "height"),
        (45.0, "L4", "M", 22.0, "L3"),
        (45.0, "L3", None, 22.0, "sex"),
        (45.0, "L3", "O", 22.0, "sex"),
        (45.0, "L3", "M", None, "body mass index"),
    ],
)
def test_a_set_that_lacks_a_fact_is_not_applied(
    index: float | None, level: str, sex: str | None, bmi: float | None, reason: str
) -> None:
    verdict = apply_cutoffs(find_cutoffs("martin_2013"), index, level, sex=sex, bmi=bmi)
    assert verdict.is_low is None
    assert reason in verdict.reason


def test_a_lower_bound_is_never_called_low() -> None:
    prado = find_cutoffs("prado")
    below = apply_cutoffs(prado, 50.0, "L3", sex="M", bmi=None, is_lower_bound=True)
    assert below.is_low is None
    assert "lower bound" in below.reason
    assert apply_cutoffs(prado, 53.0, "L3", sex="M", bmi=None, is_lower_bound=True).is_low is False


def test_a_set_that_does_not_exist_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="known: prado_2008"):
        find_cutoffs("nobody")
