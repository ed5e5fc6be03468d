from __future__ import annotations

import numpy as np
import pytest

from usassist.modalities.ultrasound import preprocess

SIZE_HW_PX = (256, 384)


def test_values_are_pixels_over_255_and_padding_is_0():
    image = np.full((100, 100), 51, np.uint8)
    tensor, image_to_input = preprocess(image, SIZE_HW_PX)
    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 1, 256, 384)
    np.testing.assert_allclose(tensor[0, 0, :, 64:320], 0.2, atol=1e-6)
    assert not tensor[0, 0, :, :64].any()
    assert not tensor[0, 0, :, 320:].any()
    np.testing.assert_allclose(image_to_input, [[2.56, 0, 64], [0, 2.56, 0]])


def test_corners_of_the_image_map_into_the_input():
    image = np.zeros((300, 600), np.uint8)
    _, image_to_input = preprocess(image, SIZE_HW_PX)
    corners = np.array([[0, 0, 1], [600, 300, 1]], np.float64) @ image_to_input.T
    np.testing.assert_allclose(corners, [[0, 32], [384, 224]], atol=0.5)


def test_colour_becomes_luma():
    image = np.zeros((256, 384, 3), np.uint8)
    image[..., 0] = 255  # red
    tensor, _ = preprocess(image, SIZE_HW_PX)
    np.testing.assert_allclose(tensor, 0.299, atol=0.003)


def test_a_given_buffer_is_filled_and_returned_without_traces_of_the_last_frame():
    buffer = np.empty((1, 1, *SIZE_HW_PX), np.float32)
    preprocess(np.full((256, 384), 255, np.uint8), SIZE_HW_PX, buffer)
    tensor, _ = preprocess(np.zeros((10, 10), np.uint8), SIZE_HW_PX, buffer)
    assert tensor is buffer
    assert not buffer.any()


@pytest.mark.parametrize("buffer", [np.empty((1, 1, 256, 383), np.float32), np.empty((1, 1, 256, 384), np.float64)])
def test_a_buffer_that_does_not_fit_is_refused(buffer):
    with pytest.raises(ValueError, match="out must be float32"):
        preprocess(np.zeros((10, 10), np.uint8), SIZE_HW_PX, buffer)


def test_a_read_only_frame_is_accepted():
    image = np.zeros((40, 60), np.uint8)
    image.flags.writeable = False
    tensor, _ = preprocess(image, SIZE_HW_PX)
    assert tensor.flags.writeable
