"""Whether a frame goes on where the frame before it left off."""

from __future__ import annotations

import itertools

import numpy as np

from usassist.frames import compute_thumbnail, goes_on, may_go_on
from usassist.phantom import PhantomConfig, PhantomScanner


def test_neighbours_of_a_sweep_go_on_and_other_scenes_do_not() -> None:
    scanner = PhantomScanner()
    thumbnails = [compute_thumbnail(scanner.render_scan(number / 30).scan) for number in range(12)]
    assert all(goes_on(before, after) for before, after in itertools.pairwise(thumbnails))
    other = PhantomScanner(PhantomConfig(view="longitudinal"))
    assert not goes_on(thumbnails[0], compute_thumbnail(other.render_scan(2.0).scan))


def test_brightness_and_contrast_do_not_matter() -> None:
    image = np.random.default_rng(1).integers(60, 160, (97, 131)).astype(np.uint8)
    assert goes_on(compute_thumbnail(image), compute_thumbnail(image // 2 + 90))


def test_colour_is_compared_as_grey() -> None:
    grey = np.random.default_rng(2).integers(0, 256, (48, 64)).astype(np.uint8)
    assert np.allclose(compute_thumbnail(np.dstack([grey] * 3)), compute_thumbnail(grey), atol=1e-6)


def test_another_image_does_not_go_on() -> None:
    rng = np.random.default_rng(3)
    first, second = (compute_thumbnail(rng.integers(0, 256, (480, 640)).astype(np.uint8)) for _ in range(2))
    assert not goes_on(first, second)


def test_an_image_of_one_grey_level_follows_nothing() -> None:
    black = compute_thumbnail(np.zeros((30, 20), np.uint8))
    assert black.shape == (768,)
    assert not goes_on(black, black)


def test_between_the_two_limits_an_image_may_go_on() -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(128.0, 30.0, (24, 32))
    for share, may, does in ((0.2, True, True), (0.4, True, False), (0.6, False, False)):
        other = image + share * rng.normal(0.0, 30.0, image.shape)
        before, after = (compute_thumbnail(np.clip(pixels, 0, 255).astype(np.uint8)) for pixels in (image, other))
        assert (may_go_on(before, after), goes_on(before, after)) == (may, does), float(before @ after)
