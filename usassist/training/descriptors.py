"""Fitting of nodule descriptors: labels of the data set, features of its nodules, and regularised logistic regressions.

The data set labels cases, not nodules. Most cases show one nodule in one or two planes, so every marked region gets the
labels of its case, and the regions of a case share a weight of one: a case counts once, however many images it has. If
a case shows two different nodules, one of them is labelled wrongly; that lowers the measured agreement and cannot be
corrected from the data.
"""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.modalities.ultrasound.descriptors import FEATURES, LogisticTable, nodule_features, standardise
from usassist.training.data.sample import Sample
from usassist.training.data.thyroid import DUPLICATE_GROUPS

__all__ = [
    "MIN_NODULE_PX",
    "TARGETS",
    "Example",
    "Target",
    "cross_validate",
    "fit",
    "make_examples",
    "read_labels",
    "trace_outline",
]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

MIN_NODULE_PX = 50
"""A marked region with fewer pixels is a drawing error, not a nodule."""

STRENGTHS = tuple(float(value) for value in 10.0 ** np.arange(-3.0, 1.01, 0.5))
"""Candidates for the inverse regularisation strength, the strongest regularisation first."""

OUTER_FOLDS, INNER_FOLDS = 10, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The learning target of one descriptor.

    Attributes
    ----------
    classes : two, the more suspicious one last
    features : inputs of the regression; only those related to the descriptor, so that it does not copy another one
    words : word of the data set → class; a case with another word is unlabelled
    """

    classes: tuple[str, str]
    features: tuple[str, ...]
    words: dict[str, str]


def _target(features: tuple[str, ...], first: tuple[str, list[str]], second: tuple[str, list[str]]) -> Target:
    words = {word: name for name, words in (first, second) for word in words}
    return Target(classes=(first[0], second[0]), features=features, words=words)


_ECHO = ("rim_contrast", "dark_contrast", "bright_contrast", "frame_contrast")
_TEXTURE = ("spread", "dark_share", "dark_clump", "coarse_texture", "fine_texture")
_FOCI = ("spot_share", "spot_count", "spot_peak", "shadow", "shadow_deepest")
_EDGE = ("edge_step", "edge_strength", "edge_spread", "edge_weak")
_OUTLINE = ("solidity", "compactness", "wobble_slow", "wobble_fast")


# "dense" (composition) is in no lexicon and may mean solid or calcified: such cases are excluded, like empty entries.
TARGETS: dict[str, Target] = {
    "composition": _target(
        (*_ECHO, *_TEXTURE),
        ("cystic, mixed or spongiform", ["cystic", "predominantly cystic", "mixed", "spongiform"]),
        ("solid", ["solid", "predominantly solid"]),
    ),
    "echogenicity": _target(
        _ECHO,
        ("isoechoic or hyperechoic", ["isoechogenicity", "hyperechogenicity"]),
        ("hypoechoic", ["hypoechogenicity", "marked hypoechogenicity"]),
    ),
    "margins": _target(
        (*_EDGE, *_OUTLINE),
        ("smooth", ["well defined", "well defined smooth"]),
        ("ill defined or irregular", ["ill defined", "spiculated", "microlobulated", "macrolobulated"]),
    ),
    "calcifications": _target(
        (*_TEXTURE, *_FOCI),
        ("none", ["non", "none"]),
        ("present", ["microcalcification", "microcalcifications", "macrocalcification", "macrocalcifications"]),
    ),
}
"""Learning targets by name of the descriptor."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One outlined nodule.

    Attributes
    ----------
    case : nodules of one case, and of frames with identical pixels, belong together
    frame : name of the frame
    features : float64 (len(FEATURES),)
    labels : descriptor → class, for the labelled descriptors of the case
    """

    case: str
    frame: str
    features: Float64Array
    labels: dict[str, str]


def read_labels(annotations: Path, case: str) -> dict[str, str]:
    """Classes of a case, by descriptor; entries that are empty or not in :data:`TARGETS` are ignored.

    Raises
    ------
    ConfigError
        If the case has no readable annotation.
    """
    path = annotations / f"{case}.xml"
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise ConfigError(f"annotation {path} cannot be read: {error}; fetch the data set again") from error
    found = {}
    for name, target in TARGETS.items():
        word = " ".join((root.findtext(name) or "").lower().replace("-", " ").split())
        if word in target.words:
            found[name] = target.words[word]
    return found


def trace_outline(region: BoolArray) -> Float32Array:
    """Outline of one connected region as in the live path: float32 (K, 2), image coordinates, px."""
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(max(outlines, key=cv2.contourArea)[:, 0, :] + 0.5, np.float32)


def make_examples(sample: Sample, outlines: Sequence[Float32Array], annotations: Path) -> list[Example]:
    """Make one example per outline in a frame; outlines without :func:`nodule_features` are skipped.

    Parameters
    ----------
    sample : the cropped frame, named ``case_image``
    outlines : float32 (K, 2) each, image coordinates of the cropped frame
    annotations : folder with ``<case>.xml``
    """
    labels = read_labels(annotations, sample.name.split("_")[0])
    described = [nodule_features(sample.image, outline) for outline in outlines]
    return [
        Example(case=_case(sample.name), frame=sample.name, features=features, labels=labels)
        for features in described
        if features is not None
    ]


def fit(examples: Sequence[Example], name: str) -> tuple[LogisticTable, float]:
    """Fit one descriptor; the regularisation strength is chosen by cross-validation grouped by case.

    Features are standardised; the two classes have equal weight, and so have all cases of a class. The strength with
    the smallest mean log loss is chosen.

    Parameters
    ----------
    examples : of the training part; those without a label for the descriptor are ignored
    name : of :data:`TARGETS`

    Returns
    -------
    table, chosen inverse regularisation strength

    Raises
    ------
    ConfigError
        If scikit-learn is missing, or a class has fewer cases than there are folds.
    """
    data = _Data.of(examples, name)
    strength = _choose_strength(data)
    return _fit(data, strength), strength


def cross_validate(examples: Sequence[Example], name: str) -> list[tuple[str, int, float]]:
    """Nested cross-validation grouped by case: the regularisation is chosen separately inside each fold.

    Returns
    -------
    case, class index and probability of the second class, for each labelled example, from fits on other cases
    """
    data = _Data.of(examples, name)
    predicted: list[tuple[str, int, float]] = []
    for train, test in _folds(data, OUTER_FOLDS):
        inner = data.take(train)
        table = _fit(inner, _choose_strength(inner))
        predicted += [(data.cases[row], int(data.classes[row]), table.probability(data.features[row])) for row in test]
    return predicted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Data:
    name: str
    features: Float64Array  # (N, F)
    classes: npt.NDArray[np.int64]
    cases: list[str]
    weights: Float64Array

    @classmethod
    def of(cls, examples: Sequence[Example], name: str) -> _Data:
        target = TARGETS[name]
        labelled = [example for example in examples if name in example.labels]
        classes = np.array([target.classes.index(example.labels[name]) for example in labelled], np.int64)
        cases = [example.case for example in labelled]
        for index, title in enumerate(target.classes):
            count = len({case for case, found in zip(cases, classes, strict=True) if found == index})
            if count < OUTER_FOLDS:
                raise ConfigError(f"{name}: only {count} cases are {title}; {OUTER_FOLDS} are needed, add data")
        features = np.stack([example.features for example in labelled])
        return cls(name=name, features=features, classes=classes, cases=cases, weights=_weights(classes, cases))

    def take(self, rows: npt.NDArray[np.int64]) -> _Data:
        cases = [self.cases[row] for row in rows]
        classes = self.classes[rows]
        return _Data(
            name=self.name,
            features=self.features[rows],
            classes=classes,
            cases=cases,
            weights=_weights(classes, cases),
        )


def _weights(classes: npt.NDArray[np.int64], cases: list[str]) -> Float64Array:
    """Equal weight for all cases of a class and for both classes; the mean is 1."""
    in_case = Counter(zip(cases, classes.tolist(), strict=True))
    weights = np.array([1.0 / in_case[case, found] for case, found in zip(cases, classes.tolist(), strict=True)])
    for found in (0, 1):
        weights[classes == found] /= weights[classes == found].sum()
    return np.asarray(weights * (len(weights) / weights.sum()), np.float64)


def _fit(data: _Data, strength: float) -> LogisticTable:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ConfigError(f"scikit-learn is missing ({error}); pip install 'usassist[train]'") from error
    target = TARGETS[data.name]
    own = data.features[:, [list(FEATURES).index(name) for name in target.features]]
    mean = np.average(own, axis=0, weights=data.weights)
    scale = np.sqrt(np.average((own - mean) ** 2, axis=0, weights=data.weights))
    scale = np.where(scale > 1e-9, scale, 1.0)
    model = LogisticRegression(C=strength, solver="newton-cholesky")
    model.fit(standardise(own, mean, scale), data.classes, sample_weight=data.weights)
    return LogisticTable(
        name=data.name,
        classes=target.classes,
        features=target.features,
        mean=_rounded(mean),
        scale=_rounded(scale),
        weights=_rounded(model.coef_[0]),
        bias=_rounded(model.intercept_)[0],
    )


def _rounded(values: Float64Array) -> tuple[float, ...]:
    """Six digits, as in the shipped file: the measured table is the shipped one."""
    return tuple(float(f"{value:.6g}") for value in values)


def _choose_strength(data: _Data) -> float:
    folds = _folds(data, INNER_FOLDS)
    losses = np.empty((len(STRENGTHS), len(folds)))
    for row, strength in enumerate(STRENGTHS):
        for column, (train, test) in enumerate(folds):
            table = _fit(data.take(train), strength)
            probability = np.clip([table.probability(data.features[item]) for item in test], 1e-6, 1.0 - 1e-6)
            loss = -np.where(data.classes[test] == 1, np.log(probability), np.log(1.0 - probability))
            losses[row, column] = np.average(loss, weights=data.weights[test])
    return STRENGTHS[int(np.argmin(losses.mean(axis=1)))]


def _folds(data: _Data, count: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with few cases in a fold
        return list(splitter.split(data.features, data.classes, data.cases))


def _case(name: str) -> str:
    """Case of a frame; cases that share an image are one."""
    for group in DUPLICATE_GROUPS:
        if name in group:
            return min(group).split("_")[0]
    case = name.split("_")[0]
    sharing = [group for group in DUPLICATE_GROUPS if any(member.split("_")[0] == case for member in group)]
    return min(sharing[0]).split("_")[0] if sharing else case
