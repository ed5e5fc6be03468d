from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools import fit_descriptors as command
from usassist.errors import ConfigError
from usassist.evaluation.descriptors import RatedNodule, agreement, confusion, found_outlines
from usassist.evaluation.metrics import Figure
from usassist.modalities.ultrasound.descriptors import FEATURES, FILE_NAME, DescriptorModel
from usassist.records import LabelSpec
from usassist.training.data.sample import Sample
from usassist.training.descriptors import (
    TARGETS,
    Example,
    cross_validate,
    fit,
    make_examples,
    read_labels,
    trace_outline,
)


def annotate(folder, case, **words):
    entries = "".join(f"<{key}>{word}</{key}>" for key, word in words.items())
    (folder / f"{case}.xml").write_text(f"<case><number>{case}</number>{entries}</case>", encoding="utf-8")


def examples(count, *, signal, seed=0, per_case=2):
    """Cases of which every third is hypoechoic; the label is visible in one feature with strength `signal`."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        truth = number % 3 == 0
        for view in range(per_case):
            features = rng.normal(0.0, 1.0, len(FEATURES))
            features[list(FEATURES).index("rim_contrast")] -= signal * truth
            label = TARGETS["echogenicity"].classes[int(truth)]
            made.append(
                Example(case=f"{number}", frame=f"{number}_{view}", features=features, labels={"echogenicity": label})
            )
    return made


def judged(truths, probabilities, cases=None):
    cases = [str(index) for index in range(len(truths))] if cases is None else cases
    return [RatedNodule(case=c, truth=t, probability=p) for c, t, p in zip(cases, truths, probabilities, strict=True)]


def test_words_of_the_data_set_are_mapped_to_few_classes(tmp_path):
    annotate(
        tmp_path,
        "7",
        composition="predominantly solid",
        echogenicity="marked hypoechogenicity",
        margins="ill- defined",
        calcifications="non",
    )
    assert read_labels(tmp_path, "7") == {
        "composition": "solid",
        "echogenicity": "hypoechoic",
        "margins": "ill defined or irregular",
        "calcifications": "none",
    }


def test_empty_missing_and_unclear_words_leave_a_case_unlabelled(tmp_path):
    annotate(tmp_path, "7", composition="dense", echogenicity="", margins="Well Defined Smooth")
    assert read_labels(tmp_path, "7") == {"margins": "smooth"}


@pytest.mark.parametrize("text", [None, "<case><composition>"])
def test_an_unreadable_annotation_is_an_error_that_names_it(tmp_path, text):
    if text is not None:
        (tmp_path / "7.xml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"7\.xml"):
        read_labels(tmp_path, "7")


def test_every_word_in_the_data_set_is_known_or_deliberately_excluded():
    folder = Path(os.environ.get("USASSIST_DATA", "")) / "thyroid_ddti" / "annotations"
    if "USASSIST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with thyroid_ddti")
    cases = sorted(path.stem for path in folder.glob("*.xml"))
    assert cases
    for case in cases:
        text = (folder / f"{case}.xml").read_text(encoding="utf-8")
        labels = read_labels(folder, case)
        for name in TARGETS:
            (word,) = re.findall(f"<{name}>(.*?)</{name}>", text)
            assert (name in labels) == (word not in ("", "dense")), (case, name, word)


def test_nodules_of_identical_images_are_one_case(tmp_path):
    image = np.random.default_rng(0).integers(30, 120, (200, 300)).astype(np.uint8)
    mask = np.zeros(image.shape, np.uint8)
    cv2.ellipse(mask, (150, 100), (50, 30), 0, 0, 360, 1, -1)
    cases = []
    for name in ("349_1", "150_1", "349_2", "8_1"):
        annotate(tmp_path, name.split("_")[0], margins="spiculated")
        sample = Sample(name=name, image=image, nodule=mask, gland=np.zeros_like(mask))
        (example,) = make_examples(sample, [trace_outline(mask > 0)], tmp_path)
        assert example.features.shape == (len(FEATURES),)
        assert example.labels == {"margins": "ill defined or irregular"}
        cases.append(example.case)
    assert cases[0] == cases[1] == cases[2] != cases[3] == "8"


def test_every_target_names_features_that_exist_and_two_classes():
    for target in TARGETS.values():
        assert set(target.features) <= set(FEATURES)
        assert set(target.words.values()) == set(target.classes)


def test_a_signal_in_a_feature_is_learnt_with_the_right_sign():
    pytest.importorskip("sklearn", reason="needs the extra train")
    table, strength = fit(examples(90, signal=2.0), "echogenicity")
    assert strength > 0
    assert table.weights[table.features.index("rim_contrast")] < -0.5
    assert max(abs(weight) for weight in table.weights) == -table.weights[table.features.index("rim_contrast")]


def test_cross_validation_finds_a_signal_and_finds_none_in_noise():
    pytest.importorskip("sklearn", reason="needs the extra train")
    for signal, low, high in ((2.5, 0.85, 1.0), (0.0, 0.3, 0.65)):
        found = cross_validate(examples(90, signal=signal), "echogenicity")
        assert len(found) == 180
        figures = agreement([RatedNodule(case=case, truth=truth, probability=p) for case, truth, p in found])
        assert low <= figures["auroc"].value <= high


def test_cases_are_never_split_so_that_twins_do_not_help():
    pytest.importorskip("sklearn", reason="needs the extra train")
    noise = examples(90, signal=0.0, per_case=1)
    twins = [dataclasses.replace(item) for item in noise for _ in range(3)]
    single = {case: p for case, _, p in cross_validate(noise, "echogenicity")}
    figures = agreement(
        [RatedNodule(case=c, truth=t, probability=p) for c, t, p in cross_validate(twins, "echogenicity")]
    )
    assert len(single) == 90
    assert figures["auroc"].value < 0.65


def test_a_case_with_many_images_counts_once():
    pytest.importorskip("sklearn", reason="needs the extra train")
    once = examples(60, signal=1.0, per_case=1)
    often = once + [once[0]] * 5 + [once[1]] * 7
    assert fit(often, "echogenicity")[0].mean == pytest.approx(fit(once, "echogenicity")[0].mean, abs=1e-5)


def test_too_few_cases_of_a_class_are_refused():
    pytest.importorskip("sklearn", reason="needs the extra train")
    with pytest.raises(ConfigError, match="hypoechoic"):
        fit(examples(24, signal=1.0), "echogenicity")


def test_agreement_of_known_tables():
    half = agreement(judged([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.4]))
    assert half["balanced_accuracy"].value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert half["auroc"].value == pytest.approx(6 / 8)
    assert half["kappa"].value == pytest.approx((4 / 6 - 20 / 36) / (1 - 20 / 36))
    assert half["kappa"].count == 6
    assert half["auroc"].low <= half["auroc"].value <= half["auroc"].high
    assert confusion(judged([0, 0, 1], [0.5, 0.2, 0.9])).tolist() == [[1, 1], [0, 1]]
    assert agreement(judged([0, 1], [0.5, 0.5]))["auroc"].value == 0.5


def test_figures_are_undefined_without_one_of_the_classes():
    for figure in agreement(judged([1, 1], [0.9, 0.8])).values():
        assert np.isnan(figure.value)


def test_the_engines_outline_of_a_marked_nodule_is_found_and_others_are_not():
    labels = (
        LabelSpec(id=0, name="n", scheme="SCT", value="1", meaning="N", color_rgb=(1, 2, 3), score_threshold=0.5),
    )
    mask, score, box = (np.zeros((1, c, h, w), np.float32) for c, h, w in ((1, 64, 96), (1, 16, 24), (4, 16, 24)))
    for row, column in ((5, 6), (10, 18)):
        mask[0, 0, 4 * row - 8 : 4 * row + 8, 4 * column - 8 : 4 * column + 8] = 1.0
        score[0, 0, row, column] = 0.9
        box[0, :, row, column] = (20, 20, 12, 12)
    truth = np.zeros((128, 192), np.bool_)
    truth[22:58, 30:66] = True

    def infer(inputs):
        assert inputs["image"].shape == (1, 1, 128, 192)
        return {"mask_prob": mask, "center_score": score, "box_ltrb_px": box}

    image = np.zeros((128, 192), np.uint8)
    (found,) = found_outlines(infer, (128, 192), labels, image, truth, 50)
    np.testing.assert_allclose(found.mean(axis=0), (48, 40), atol=2)
    assert found_outlines(infer, (128, 192), labels, image, np.zeros_like(truth), 50) == []


def outcome(name, **accuracies):
    """An outcome whose balanced accuracies are (value, low, high)."""
    figures = {
        what: {
            "balanced_accuracy": Figure(value=accuracy[0], low=accuracy[1], high=accuracy[2], count=9),
            "kappa": Figure(value=0.31, low=0.12, high=0.49, count=9),
        }
        for what, accuracy in zip(
            ("train, cross-validated", "val, marked outlines", "val, engine's outlines"),
            (accuracies[key] for key in ("folds", "marked", "engine")),
            strict=True,
        )
    }
    target = TARGETS[name]
    count = len(target.features)
    table = command.LogisticTable(
        name=name,
        classes=target.classes,
        features=target.features,
        mean=(0.25,) * count,
        scale=(1.5,) * count,
        weights=(-0.125,) * count,
        bias=0.0625,
    )
    two = judged([0, 1, 1], [0.2, 0.7, 0.4], cases=["1", "1", "2"])
    return command.FittedDescriptor(table=table, strength=0.1, judged={what: two for what in figures}, figures=figures)


GOOD, WIDE, BAD = (0.7, 0.6, 0.8), (0.6, 0.45, 0.75), (0.48, 0.3, 0.6)


def test_a_descriptor_is_kept_when_it_surely_beats_chance_on_train_and_on_val_as_live():
    assert outcome("margins", folds=GOOD, marked=BAD, engine=GOOD).rejection == ""
    assert "cross-validated" in outcome("margins", folds=WIDE, marked=GOOD, engine=GOOD).rejection
    assert "engine's outlines" in outcome("margins", folds=GOOD, marked=GOOD, engine=WIDE).rejection
    nothing = (float("nan"),) * 3
    assert outcome("margins", folds=GOOD, marked=GOOD, engine=nothing).rejection
    assert outcome("margins", folds=GOOD, marked=GOOD, engine=(0.7, 0.5, 0.8)).rejection


def test_the_reported_agreement_is_that_of_the_engines_outlines():
    kept = outcome("margins", folds=GOOD, marked=WIDE, engine=GOOD)
    assert kept.agreement == "kappa 0.31 (0.12 to 0.49), 3 nodules of 2 cases"
    live = {"balanced_accuracy": kept.figures["val, engine's outlines"]["balanced_accuracy"]}
    live["kappa"] = Figure(value=0.22, low=0.02, high=0.4, count=9)
    figures = {**kept.figures, "val, engine's outlines": live}
    assert dataclasses.replace(kept, figures=figures).agreement.startswith("kappa 0.22 (0.02 to 0.40)")


def test_a_written_table_is_read_back_unchanged(tmp_path):
    kept = outcome("echogenicity", folds=GOOD, marked=GOOD, engine=GOOD)
    dropped = outcome("margins", folds=WIDE, marked=GOOD, engine=GOOD)
    for outcomes, tables in (([kept, dropped], 1), ([dropped], 0)):
        (tmp_path / FILE_NAME).write_text(command.document(outcomes, "a test"), encoding="utf-8")
        model = DescriptorModel.load(tmp_path, "a test")
        assert len(model.tables) == tables
        assert all(table == dataclasses.replace(kept.table, agreement=kept.agreement) for table in model.tables)


def test_without_data_the_command_exits_with_code_2_and_names_the_setting(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("USASSIST_DATA", raising=False)
    assert command.main(["--out", str(tmp_path / FILE_NAME)]) == 2
    assert "USASSIST_DATA" in capsys.readouterr().err
    assert not (tmp_path / FILE_NAME).exists()
