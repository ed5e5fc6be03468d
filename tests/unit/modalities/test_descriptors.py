from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import EngineSpecError
from usassist.modalities.ultrasound.descriptors import (
    FEATURES,
    FILE_NAME,
    DescriptorModel,
    LogisticTable,
    nodule_features,
)

ENGINE_ID = "nodules@1.0.0+0123456789ab"
GOOD = f"""
schema = 1
engine_id = "{ENGINE_ID}"
made_by = "a test"

[[descriptors]]
name = "echogenicity"
classes = ["bright", "dark"]
features = ["rim_contrast", "dark_share"]
mean = [0.0, 0.1]
scale = [0.1, 0.2]
weights = [-2.0, 0]
bias = 0.0
agreement = "kappa 0.50 (0.19 to 0.74), 52 nodules of 31 cases"

[[left_out]]
name = "margins"
reason = "not better than chance"
"""


def speckle(level, shape=(300, 400), seed=0):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(0.0, 1.0, shape), (0, 0), 1.5)
    return np.clip(level * (1.0 + 0.25 * noise / noise.std()), 0, 235)


def ellipse(center=(200, 120), axes=(60, 40), shape=(300, 400)):
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, center, axes, 0, 0, 360, 1, -1)
    return mask


def outline(mask):
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return outlines[0][:, 0, :].astype(np.float32) + np.float32(0.5)


def scene(inside=60.0, around=110.0, mask=None):
    mask = ellipse() if mask is None else mask
    image = np.where(mask > 0, speckle(inside, seed=1), speckle(around, seed=2))
    return image.astype(np.uint8), outline(mask)


def described(image, contour):
    features = nodule_features(image, contour)
    assert features is not None
    return dict(zip(FEATURES, features.tolist(), strict=True))


def with_calipers(image, contour):
    marked = image.copy()
    (x1, y1), (x2, y2) = contour.min(axis=0).astype(int), contour.max(axis=0).astype(int)
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    for point in ((x1, y), (x2, y), (x, y1), (x, y2)):
        cv2.drawMarker(marked, (int(point[0]), int(point[1])), 255, cv2.MARKER_CROSS, 9, 1)
    marked[y, x1:x2:5] = 255
    marked[y1:y2:5, x] = 255
    return marked


def test_every_feature_is_named_and_finite_and_equal_pixels_give_equal_numbers():
    image, contour = scene()
    image.setflags(write=False)
    contour.setflags(write=False)
    first, second = nodule_features(image, contour), nodule_features(image, contour)
    assert first.shape == (len(FEATURES),)
    assert first.dtype == np.float64
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("place", ["middle", "corner", "large", "with calipers"])
def test_a_feature_is_the_same_to_the_bit_whatever_else_is_computed(place):
    center, axes = {"corner": ((15, 20), (40, 30)), "large": ((200, 150), (150, 90))}.get(place, ((200, 120), (60, 40)))
    image, contour = scene(mask=ellipse(center, axes))
    if place == "with calipers":
        image = with_calipers(image, contour)
    whole = nodule_features(image, contour)
    for index, name in enumerate(FEATURES):
        alone = nodule_features(image, contour, {name})
        assert alone[index] == whole[index], name
        computed = ~np.isnan(alone)
        assert computed.sum() <= 5
        np.testing.assert_array_equal(alone[computed], whole[computed])


def test_only_what_the_tables_use_is_computed(tmp_path, monkeypatch):
    asked = []

    def spy(grey, contour, names):
        asked.append(set(names))
        return nodule_features(grey, contour, names)

    monkeypatch.setattr("usassist.modalities.ultrasound.descriptors.nodule_features", spy)
    (tmp_path / FILE_NAME).write_text(GOOD, encoding="utf-8")
    DescriptorModel.load(tmp_path, ENGINE_ID).estimate(*scene())
    assert asked == [{"rim_contrast", "dark_share"}]


def test_contrast_tells_darker_from_brighter_nodules():
    dark, bright = described(*scene(60, 110)), described(*scene(150, 110))
    for name in ("rim_contrast", "dark_contrast", "bright_contrast", "frame_contrast"):
        assert dark[name] < -0.15
        assert bright[name] > 0.05
    assert dark["rim_contrast"] == pytest.approx((60 - 110) / 171, abs=0.03)
    assert dark["edge_step"] > 0.1 > -0.1 > bright["edge_step"]


@pytest.mark.parametrize("change", ["calipers", "gain", "resolution", "place"])
def test_what_is_not_the_nodule_hardly_changes_the_numbers(change):
    image, contour = scene()
    changed = {
        "calipers": lambda: (with_calipers(image, contour), contour),
        "gain": lambda: (cv2.convertScaleAbs(image, alpha=0.8), contour),
        "resolution": lambda: (cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), contour * 2),
        "place": lambda: (cv2.copyMakeBorder(image, 7, 0, 11, 0, cv2.BORDER_REFLECT), contour + np.float32([11, 7])),
    }[change]()
    before, after = described(image, contour), described(*changed)
    for name in FEATURES:
        if name not in ("spot_count", "edge_weak"):  # these count
            assert after[name] == pytest.approx(before[name], abs=0.06), name
    assert after["edge_weak"] == pytest.approx(before["edge_weak"], abs=0.15)
    assert after["spot_count"] == pytest.approx(before["spot_count"], abs=1.1)


def test_a_bright_blob_is_not_taken_for_a_caliper():
    image, contour = scene()
    blobs = image.copy()
    for x in (170, 200, 230):
        cv2.circle(blobs, (x, 120), 4, 200, -1)
    before, after = described(image, contour), described(blobs, contour)
    assert after["spot_share"] > before["spot_share"] + 0.01
    assert after["spot_count"] >= np.log1p(3)
    assert after["spot_peak"] > before["spot_peak"] + 0.1


def test_a_fluid_part_shows_as_one_dark_clump():
    image, contour = scene(100, 110)
    cyst = image.copy()
    cv2.circle(cyst, (200, 120), 25, 5, -1)
    solid, mixed = described(image, contour), described(cyst, contour)
    assert solid["dark_share"] < 0.02
    assert mixed["dark_share"] == pytest.approx(25**2 / (60 * 40), abs=0.06)
    assert mixed["dark_clump"] > 0.9 * mixed["dark_share"]
    assert mixed["spread"] > solid["spread"] + 0.3
    assert mixed["coarse_texture"] > solid["coarse_texture"] + 0.1


def test_a_shadow_below_is_negative_and_a_dark_column_is_found():
    image, contour = scene()
    whole, stripe = image.copy(), image.copy()
    whole[160:, 140:260] //= 3
    stripe[160:, 195:210] //= 4
    assert abs(described(image, contour)["shadow"]) < 0.1
    assert described(whole, contour)["shadow"] < -0.6
    assert described(stripe, contour)["shadow_deepest"] < -0.6


def test_without_room_below_no_shadow_is_claimed():
    image, contour = scene(mask=ellipse(center=(200, 262)))
    values = described(image, contour)
    assert values["shadow"] == values["shadow_deepest"] == 0.0


def test_a_spiculated_outline_differs_from_a_smooth_one():
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    radius = 45 * (1 + 0.2 * np.cos(9 * angle))
    star = np.zeros((300, 400), np.uint8)
    points = np.stack([200 + radius * np.cos(angle), 120 + radius * np.sin(angle)], axis=1)
    cv2.fillPoly(star, [points.round().astype(np.int32)], 1)
    rough, smooth = described(*scene(mask=star)), described(*scene(mask=ellipse(axes=(45, 45))))
    assert rough["wobble_fast"] == pytest.approx(0.2 / np.sqrt(2), abs=0.03)
    assert smooth["wobble_fast"] < 0.03
    assert rough["wobble_slow"] < 0.03
    assert rough["solidity"] < 0.9 < 0.97 < smooth["solidity"]
    assert rough["compactness"] < 0.7 < 0.95 < smooth["compactness"]


def test_the_direction_of_the_outline_does_not_matter():
    image, contour = scene()
    forwards, backwards = described(image, contour), described(image, contour[::-1].copy())
    for name in FEATURES:
        assert backwards[name] == pytest.approx(forwards[name], abs=0.03), name


@pytest.mark.parametrize("center", [(10, 120), (392, 120), (200, 5), (200, 296), (2, 2)])
def test_an_outline_that_touches_the_border_is_described(center):
    image, contour = scene(mask=ellipse(center=center))
    assert described(image, contour)["rim_contrast"] == pytest.approx((60 - 110) / 171, abs=0.05)


def test_nothing_is_said_about_what_cannot_be_compared():
    image, _ = scene()
    speck, line, whole = (np.zeros((300, 400), np.uint8) for _ in range(3))
    speck[100:106, 100:106] = 1
    line[20:280, 200:202] = 1
    whole[:] = 1
    black = np.zeros((300, 400), np.uint8)
    for names in (FEATURES, {"rim_contrast"}, {"solidity"}):
        for mask in (speck, line, whole):
            assert nodule_features(image, outline(mask), names) is None
        assert nodule_features(black, outline(ellipse()), names) is None


def test_a_model_gives_value_probability_basis_and_agreement(tmp_path):
    (tmp_path / FILE_NAME).write_text(GOOD, encoding="utf-8")
    model = DescriptorModel.load(tmp_path, ENGINE_ID)
    speck = np.array([[5.5, 5.5], [8.5, 5.5], [8.5, 8.5], [5.5, 8.5]], np.float32)
    image, contour = scene(60, 110)
    assert model.estimate(image, speck) == ()
    (found,) = model.estimate(image, contour)
    assert (found.name, found.value, found.basis) == ("echogenicity", "dark", "estimated")
    contrast = described(image, contour)["rim_contrast"]
    assert found.probability == pytest.approx(1 / (1 + np.exp(2 * max(contrast / 0.1, -3.0))))
    assert model.agreement == {"echogenicity": "kappa 0.50 (0.19 to 0.74), 52 nodules of 31 cases"}
    (bright,) = model.estimate(scene(150, 110)[0], contour)
    assert bright.value == "bright"
    assert 0.5 < bright.probability < 1.0


def test_a_feature_far_outside_the_training_data_counts_as_three_deviations():
    table = LogisticTable(
        name="a", classes=("x", "y"), features=("spread",), mean=(0.0,), scale=(1.0,), weights=(1.0,), bias=0.0
    )
    features = np.zeros(len(FEATURES))
    features[list(FEATURES).index("spread")] = 1e6
    assert table.probability(features) == pytest.approx(1 / (1 + np.exp(-3.0)))


def test_an_engine_without_the_file_has_no_model(tmp_path):
    assert DescriptorModel.load(tmp_path, ENGINE_ID) is None


def test_a_file_without_descriptors_estimates_nothing(tmp_path):
    (tmp_path / FILE_NAME).write_text(
        f'schema = 1\nengine_id = "{ENGINE_ID}"\nmade_by = "a test"\ndescriptors = []\n', encoding="utf-8"
    )
    image, contour = scene()
    assert DescriptorModel.load(tmp_path, ENGINE_ID).estimate(image, contour) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ("schema = 1", "", "schema"),
        ("schema = 1", "schema = = 1", "cannot be read"),
        ('made_by = "a test"', "", "made_by"),
        (ENGINE_ID, "nodules@0.9.0+0123456789ab", "measured with nodules@0.9.0"),
        ('made_by = "a test"', "made_by = 3", "made_by"),
        ("bias = 0.0", "", "bias"),
        ("bias = 0.0", "bias = nan", "bias"),
        ("bias = 0.0", 'bias = "0"', "bias"),
        ("bias = 0.0", "bias = 0.0\nextra = 1", "extra"),
        ('"rim_contrast", ', '"rim_kontrast", ', "rim_kontrast"),
        ('"rim_contrast", ', '"dark_share", ', "once"),
        ("mean = [0.0, 0.1]", "mean = [0.0]", "mean"),
        ("mean = [0.0, 0.1]", 'mean = [0.0, "a"]', "mean"),
        ("mean = [0.0, 0.1]", "mean = [0.0, inf]", "mean"),
        ("scale = [0.1, 0.2]", "scale = [0.1, 0.0]", "scale"),
        ('["bright", "dark"]', '["bright"]', "classes"),
        ('["bright", "dark"]', '["bright", "bright"]', "classes"),
        ('["bright", "dark"]', '["bright", 2]', "classes"),
        ('name = "echogenicity"', 'name = ""', "name"),
        ('reason = "not better than chance"', "", "reason"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path, old, new, message):
    assert old in GOOD
    (tmp_path / FILE_NAME).write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(EngineSpecError, match=message) as caught:
        DescriptorModel.load(tmp_path, ENGINE_ID)
    assert FILE_NAME in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_descriptor_twice_is_refused(tmp_path):
    entry = GOOD[GOOD.index("[[descriptors]]") : GOOD.index("[[left_out]]")]
    (tmp_path / FILE_NAME).write_text(GOOD + entry, encoding="utf-8")
    with pytest.raises(EngineSpecError, match="twice"):
        DescriptorModel.load(tmp_path, ENGINE_ID)
