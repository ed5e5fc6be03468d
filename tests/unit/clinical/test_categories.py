"""Every row of the three systems, every word and every combination of words, against the papers as written here."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from usassist.clinical import DESCRIPTORS, SEVERAL, SYSTEMS, Category, Confirmed, Incomplete, categorise, check_words
from usassist.errors import UsageError
from usassist.records import Descriptor

COMMON = ("solid", "isoechoic", "wider", "smooth", "none")
FOCI = ("comet_tail", "macrocalcification", "peripheral", "punctate")
SUBSETS = [("none",), *(subset for count in range(1, 5) for subset in itertools.combinations(FOCI, count))]


def confirmed(*words: str | tuple[str, ...], **changes: str | tuple[str, ...]) -> Confirmed:
    given = dict(zip(DESCRIPTORS, words or COMMON, strict=True)) | changes
    return Confirmed({name: (word,) if isinstance(word, str) else word for name, word in given.items()})


def category(system: str, descriptors: Confirmed) -> Category:
    found = categorise(system, descriptors)
    assert isinstance(found, Category), found
    return found


# ---- ACR TI-RADS 2017 -----------------------------------------------------------------------------------------------

ACR_POINTS = {
    "composition": {
        "pure_cyst": 0,
        "almost_cystic": 0,
        "spongiform": 0,
        "mixed": 1,
        "solid": 2,
        "calcified": 2,
        "undeterminable": 2,
    },
    "echogenicity": {
        "anechoic": 0,
        "hyperechoic": 1,
        "isoechoic": 1,
        "hypoechoic": 2,
        "very_hypoechoic": 3,
        "undeterminable": 1,
    },
    "shape": {"wider": 0, "wider_irregular": 0, "taller": 3},
    "margin": {"smooth": 0, "ill_defined": 0, "irregular": 2, "extrathyroidal": 3, "undeterminable": 0},
    "foci": {"none": 0, "comet_tail": 0, "macrocalcification": 1, "peripheral": 2, "punctate": 3},
}


@pytest.mark.parametrize(
    ("name", "word", "points"), [(name, word, n) for name, words in ACR_POINTS.items() for word, n in words.items()]
)
def test_every_word_has_its_points_in_the_acr_table(name: str, word: str, points: int) -> None:
    base = 0 if (name, word) == ("composition", "spongiform") else 3  # solid and isoechoic, without this descriptor
    if name in ("composition", "echogenicity") and base:
        base -= ACR_POINTS[name][dict(zip(DESCRIPTORS, COMMON, strict=True))[name]]
    assert category("acr_2017", confirmed(**{name: word})).points == base + points


def test_the_words_of_the_table_are_all_words() -> None:
    assert {name: set(words) for name, words in ACR_POINTS.items()} == {n: set(w) for n, w in DESCRIPTORS.items()}
    assert {"foci"} == SEVERAL


@pytest.mark.parametrize(
    ("descriptors", "points", "level", "meaning", "risk", "fna_mm", "follow_up_mm", "years"),
    [
        (("pure_cyst", "anechoic", "wider", "smooth", "none"), 0, "TR1", "benign", "0.3 %", None, None, ""),
        (("mixed", "isoechoic", "wider", "smooth", "none"), 2, "TR2", "not suspicious", "1.5 %", None, None, ""),
        (COMMON, 3, "TR3", "mildly suspicious", "4.8 %", 25, 15, "at 1, 3 and 5 years"),
        (
            ("solid", "hypoechoic", "wider", "smooth", "none"),
            4,
            "TR4",
            "moderately suspicious",
            "9.1 %",
            15,
            10,
            "at 1, 2, 3 and 5 years",
        ),
        (
            ("solid", "isoechoic", "taller", "smooth", "none"),
            6,
            "TR4",
            "moderately suspicious",
            "9.1 %",
            15,
            10,
            "at 1, 2, 3 and 5 years",
        ),
        (
            ("solid", "hypoechoic", "taller", "smooth", "none"),
            7,
            "TR5",
            "highly suspicious",
            "35 %",
            10,
            5,
            "every year for up to 5 years",
        ),
        (
            ("solid", "very_hypoechoic", "taller", "extrathyroidal", FOCI),
            17,
            "TR5",
            "highly suspicious",
            "35 %",
            10,
            5,
            "every year for up to 5 years",
        ),
    ],
)
def test_every_level_of_acr(
    descriptors: tuple[str, ...],
    points: int,
    level: str,
    meaning: str,
    risk: str,
    fna_mm: float | None,
    follow_up_mm: float | None,
    years: str,
) -> None:
    found = category("acr_2017", confirmed(*descriptors))
    assert (found.points, found.level, found.meaning, found.risk_text) == (points, level, meaning, risk)
    assert (found.fna_mm, found.follow_up_mm, found.edition, found.note) == (fna_mm, follow_up_mm, "2017", "")
    assert found.fna_text.startswith("none given" if fna_mm is None else f"≥ {fna_mm} mm")
    assert found.follow_up_text == ("none given" if follow_up_mm is None else f"≥ {follow_up_mm} mm, {years}")


def test_echogenic_foci_add_up_and_are_not_replaced_by_the_worst() -> None:
    foci = ("macrocalcification", "peripheral", "punctate")
    assert category("acr_2017", confirmed(foci=foci)).points == 3 + 1 + 2 + 3
    assert category("acr_2017", confirmed(foci=("comet_tail", "macrocalcification"))).points == 3 + 0 + 1


def test_spongiform_adds_no_further_points() -> None:
    found = category("acr_2017", confirmed("spongiform", "very_hypoechoic", "taller", "extrathyroidal", FOCI))
    assert (found.points, found.level) == (0, "TR1")


@pytest.mark.parametrize(
    "descriptors",
    [
        ("almost_cystic", "anechoic", "wider", "smooth", "macrocalcification"),
        ("pure_cyst", "isoechoic", "wider", "smooth", "none"),
        ("mixed", "anechoic", "wider", "smooth", "comet_tail"),
    ],
)
def test_a_total_of_1_which_the_chart_leaves_out_is_read_as_tr2_and_says_so(descriptors: tuple[str, ...]) -> None:
    found = category("acr_2017", confirmed(*descriptors))
    assert (found.points, found.level, found.fna_mm, found.follow_up_mm) == (1, "TR2", None, None)
    assert found.note == "a total of 1 has no level in the chart; read as TR2"


# ---- K-TIRADS 2021 and EU-TIRADS 2017 -------------------------------------------------------------------------------

K_ROWS = [
    ("K-TIRADS 2", ("pure_cyst", "anechoic", "wider", "smooth", "none"), "pure cyst"),
    ("K-TIRADS 2", ("pure_cyst", "anechoic", "taller", "irregular", "punctate"), "pure cyst"),
    ("K-TIRADS 2", ("spongiform", "isoechoic", "wider", "smooth", "none"), "isoechoic or hyperechoic spongiform"),
    ("K-TIRADS 2", ("spongiform", "hyperechoic", "taller", "smooth", "none"), "isoechoic or hyperechoic spongiform"),
    (
        "K-TIRADS 2",
        ("mixed", "hypoechoic", "wider", "smooth", ("comet_tail", "punctate")),
        "partially cystic with intracystic comet-tail artefacts",
    ),
    ("K-TIRADS 3", ("mixed", "hypoechoic", "wider", "smooth", "none"), "partially cystic, nothing suspicious"),
    ("K-TIRADS 3", ("almost_cystic", "anechoic", "wider", "ill_defined", "none"), "partially cystic, nothing"),
    ("K-TIRADS 3", COMMON, "isoechoic or hyperechoic, nothing suspicious"),
    ("K-TIRADS 3", ("solid", "hyperechoic", "wider_irregular", "smooth", "peripheral"), "isoechoic or hyperechoic"),
    ("K-TIRADS 3", ("spongiform", "hypoechoic", "wider", "smooth", "none"), "hypoechoic spongiform"),
    ("K-TIRADS 4", ("solid", "hypoechoic", "wider", "smooth", "macrocalcification"), "solid hypoechoic, nothing"),
    ("K-TIRADS 4", ("solid", "very_hypoechoic", "wider", "smooth", "none"), "solid hypoechoic, nothing suspicious"),
    ("K-TIRADS 4", ("mixed", "isoechoic", "taller", "smooth", "none"), "partially cystic with a suspicious feature"),
    ("K-TIRADS 4", ("solid", "isoechoic", "wider", "smooth", "punctate"), "isoechoic or hyperechoic with a suspicious"),
    ("K-TIRADS 4", ("spongiform", "hypoechoic", "taller", "smooth", "none"), "hypoechoic spongiform"),
    ("K-TIRADS 4", ("calcified", "undeterminable", "wider", "undeterminable", "macrocalcification"), "entirely calc"),
    ("K-TIRADS 5", ("solid", "hypoechoic", "taller", "smooth", "none"), "solid hypoechoic with a suspicious feature"),
    ("K-TIRADS 5", ("solid", "hypoechoic", "wider", "irregular", "none"), "solid hypoechoic with a suspicious feature"),
    ("K-TIRADS 5", ("solid", "very_hypoechoic", "wider", "extrathyroidal", "none"), "solid hypoechoic with"),
    (
        "K-TIRADS 5",
        ("solid", "hypoechoic", "wider", "smooth", "punctate"),
        "solid hypoechoic with a suspicious feature",
    ),
]
EU_ROWS = [
    ("EU-TIRADS 2", ("pure_cyst", "anechoic", "wider", "smooth", "none"), "pure cyst"),
    ("EU-TIRADS 2", ("spongiform", "isoechoic", "wider", "ill_defined", "comet_tail"), "entirely spongiform"),
    ("EU-TIRADS 3", COMMON, "isoechoic or hyperechoic, no feature of high risk"),
    ("EU-TIRADS 3", ("mixed", "hyperechoic", "wider", "smooth", "macrocalcification"), "isoechoic or hyperechoic"),
    ("EU-TIRADS 3", ("calcified", "hyperechoic", "wider", "smooth", "macrocalcification"), "isoechoic or hyperechoic"),
    ("EU-TIRADS 4", ("solid", "hypoechoic", "wider", "smooth", "none"), "hypoechoic, no feature of high risk"),
    ("EU-TIRADS 4", ("mixed", "hypoechoic", "wider", "smooth", "peripheral"), "hypoechoic, no feature of high risk"),
    ("EU-TIRADS 4", ("spongiform", "hypoechoic", "wider", "smooth", "none"), "hypoechoic, no feature of high risk"),
    ("EU-TIRADS 5", ("solid", "isoechoic", "taller", "smooth", "none"), "a feature of high risk"),
    ("EU-TIRADS 5", ("solid", "isoechoic", "wider_irregular", "smooth", "none"), "a feature of high risk"),
    ("EU-TIRADS 5", ("mixed", "hyperechoic", "wider", "irregular", "none"), "a feature of high risk"),
    ("EU-TIRADS 5", ("solid", "hypoechoic", "wider", "extrathyroidal", "none"), "a feature of high risk"),
    ("EU-TIRADS 5", ("solid", "isoechoic", "wider", "smooth", ("comet_tail", "punctate")), "a feature of high risk"),
    ("EU-TIRADS 5", ("solid", "very_hypoechoic", "wider", "smooth", "none"), "a feature of high risk"),
    ("EU-TIRADS 5", ("spongiform", "isoechoic", "wider", "smooth", "punctate"), "a feature of high risk"),
]
LEVELS = {
    "k_2021": {
        "K-TIRADS 2": ("benign", "< 3 %", None, "none given", "none given"),
        "K-TIRADS 3": ("low suspicion", "3–10 %", 20, "> 20 mm", "at 1, 3 and 5 years"),
        "K-TIRADS 4": (
            "intermediate suspicion",
            "10–40 %",
            15,
            "> 15 mm; the statement gives a range, above 10 to 15 mm; 15 mm without a particular risk factor",
            "at 1, 3 and 5 years",
        ),
        "K-TIRADS 5": (
            "high suspicion",
            "> 60 %",
            10,
            "> 10 mm",
            "every 6 months for 1 to 2 years, then every year",
        ),
    },
    "eu_2017": {
        "EU-TIRADS 2": ("benign", "close to 0 %", None, "none given", "none given"),
        "EU-TIRADS 3": ("low risk", "2–4 %", 20, "> 20 mm", "none given"),
        "EU-TIRADS 4": ("intermediate risk", "6–17 %", 15, "> 15 mm", "none given"),
        "EU-TIRADS 5": (
            "high risk",
            "26–87 %",
            10,
            "> 10 mm; 10 mm or less: FNA or active surveillance",
            "none given",
        ),
    },
}


@pytest.mark.parametrize(
    ("system", "level", "descriptors", "pattern"),
    [("k_2021", *row) for row in K_ROWS] + [("eu_2017", *row) for row in EU_ROWS],
)
def test_every_pattern_of_k_and_eu(
    system: str, level: str, descriptors: tuple[str | tuple[str, ...], ...], pattern: str
) -> None:
    found = category(system, confirmed(*descriptors))
    assert (found.level, found.points, found.edition) == (level, None, SYSTEMS[system].edition)
    assert found.pattern.startswith(pattern)
    said = (found.meaning, found.risk_text, found.fna_mm, found.fna_text, found.follow_up_text)
    assert (said, found.follow_up_mm) == (LEVELS[system][level], None)


@pytest.mark.parametrize("system", ["k_2021", "eu_2017"])
def test_every_row_of_the_table_was_reached(system: str) -> None:
    rows = K_ROWS if system == "k_2021" else EU_ROWS
    reached = {category(system, confirmed(*descriptors)).pattern for _, descriptors, _ in rows}
    assert reached == set(SYSTEMS[system].rule.texts)


def test_no_nodule_is_a_level_that_no_descriptors_lead_to() -> None:
    assert [level.level for s in SYSTEMS.values() for level in s.levels if level.no_nodule] == [
        "K-TIRADS 1",
        "EU-TIRADS 1",
    ]


def test_the_edition_of_k_tirads_is_that_of_2021_and_not_of_2016() -> None:
    low, intermediate = SYSTEMS["k_2021"].levels[2:4]
    assert (SYSTEMS["k_2021"].edition, low.fna_mm, intermediate.fna_mm) == ("2021", 20, 15)  # 2016: 15 and 10
    assert all("PMID" in system.source for system in SYSTEMS.values())


# ---- Every combination of words -------------------------------------------------------------------------------------


def _is_suspicious(system: str, echo: str, shape: str, margin: str, foci: tuple[str, ...]) -> bool:
    if shape == "taller" or margin in ("irregular", "extrathyroidal") or "punctate" in foci:
        return True
    return system == "eu_2017" and (shape == "wider_irregular" or echo == "very_hypoechoic")


def _paper(system: str, comp: str, echo: str, shape: str, margin: str, foci: tuple[str, ...]) -> int:
    """Category by its number; 0 where the words leave it open."""
    suspicious = _is_suspicious(system, echo, shape, margin, foci)
    dark = echo in ("hypoechoic", "very_hypoechoic")
    if system == "eu_2017":
        if suspicious:
            return 5
        if comp == "pure_cyst":
            return 2 if echo == "anechoic" else 0
        if echo == "anechoic":
            return 0
        return 4 if dark else 2 if comp == "spongiform" else 3
    if comp == "calcified":
        return 4
    if comp == "pure_cyst":
        return 2 if echo == "anechoic" else 0
    if comp in ("almost_cystic", "mixed"):
        return 2 if "comet_tail" in foci else 4 if suspicious else 3
    if echo == "anechoic":
        return 0
    if comp == "spongiform":
        return 2 if not dark else 4 if suspicious else 3
    return (5 if suspicious else 4) if dark else (4 if suspicious else 3)


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_every_combination_of_words_gives_exactly_one_category_or_none_with_the_reason(system: str) -> None:
    tally: Counter[str] = Counter()
    names = [name for name in DESCRIPTORS if name != "foci"]
    for *single, foci in itertools.product(*(DESCRIPTORS[name] for name in names), SUBSETS):
        found = categorise(system, confirmed(*single, foci))
        if system == "acr_2017":
            assert isinstance(found, Category)
            total = sum(ACR_POINTS[name][word] for name, word in zip(names, single, strict=True))
            total += sum(ACR_POINTS["foci"][word] for word in foci)
            total = 0 if single[0] == "spongiform" else total
            level = 1 if total == 0 else 2 if total <= 2 else 3 if total == 3 else 4 if total <= 6 else 5
            assert (found.points, found.level) == (total, f"TR{level}")
        else:
            choices = [
                [word for word in DESCRIPTORS[name] if word != "undeterminable"]
                if given == "undeterminable"
                else [given]
                for name, given in zip(names, single, strict=True)
            ]
            levels = {_paper(system, *chosen, foci) for chosen in itertools.product(*choices)}
            sure = levels - {0}
            if len(sure) == 1:
                assert isinstance(found, Category)
                assert found.level.endswith(f" {sure.pop()}")
            else:
                assert isinstance(found, Incomplete)
                assert found.missing
                assert found.reason
                assert set(found.missing) <= DESCRIPTORS.keys()
        tally[found.level if isinstance(found, Category) else "incomplete"] += 1
    assert sum(tally.values()) == 7 * 6 * 3 * 5 * 16


# ---- Not all confirmed, and what is no word -------------------------------------------------------------------------


@pytest.mark.parametrize("system", list(SYSTEMS))
@pytest.mark.parametrize("missing", [("composition",), ("shape", "foci"), tuple(DESCRIPTORS)])
def test_without_all_five_there_is_no_category_and_the_missing_ones_are_named(
    system: str, missing: tuple[str, ...]
) -> None:
    given = Confirmed({name: words for name, words in confirmed().items() if name not in missing})
    assert categorise(system, given) == Incomplete(missing=missing)
    empty = Confirmed({name: () if name in missing else words for name, words in confirmed().items()})
    assert categorise(system, empty) == Incomplete(missing=missing)


@pytest.mark.parametrize(
    ("descriptors", "said"),
    [
        ({"margins": ("smooth",)}, "unknown descriptor 'margins'"),
        ({"margin": ("spiky",)}, "unknown word 'spiky' for margin"),
        ({"margin": ("smooth", "irregular")}, "margin takes one word"),
        ({"foci": ("none", "punctate")}, "exclude each other"),
        ({"foci": ("punctate", "punctate")}, "a word twice"),
        ({"margin": "smooth"}, "must be the words that a clinician confirmed"),
        ({"margin": (7,)}, "must be the words"),
    ],
)
def test_what_is_no_word_is_refused_with_the_known_ones(descriptors: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        categorise("acr_2017", Confirmed(dict(confirmed()) | descriptors))  # type: ignore[arg-type]


def test_estimates_of_an_engine_are_refused() -> None:
    estimates = (Descriptor(name="echogenicity", value="hypoechoic", probability=0.9),)
    with pytest.raises(UsageError, match="an estimate of an engine is not one of them"):
        check_words({"echogenicity": estimates})  # type: ignore[dict-item]


def test_an_unknown_system_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown system 'k_2016'; known: acr_2017, k_2021, eu_2017"):
        categorise("k_2016", confirmed())
