"""Text is looked for in a bounded number of pictures, spread over the recording."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.session import text_left
from usassist.session.text_left import TextLeft


@pytest.mark.parametrize(("count", "looked_at"), [(1, 1), (10, 4), (15, 5), (600, 200), (100_000, 200)])
def test_no_more_than_so_many_are_looked_at(count: int, looked_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def find(images: list[np.ndarray]) -> np.ndarray:
        calls.append(len(images))
        return np.zeros((4, 4), bool)

    monkeypatch.setattr(text_left, "find_burnt_text", find)
    found = TextLeft(count)
    image = np.zeros((4, 4), np.uint8)
    for index in range(count):
        found.add(index, index, image)
    found.end()
    assert found.looked_at == looked_at
    assert len(calls) <= 80
    assert found.suspected == []


def test_pictures_of_two_sizes_are_not_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(images: list[np.ndarray]) -> np.ndarray:
        assert len({image.shape for image in images}) == 1
        return np.ones((4, 4), bool)

    monkeypatch.setattr(text_left, "find_burnt_text", find)
    found = TextLeft(12)
    for index in range(12):
        found.add(index, 100 + index, np.zeros((4 + index // 6, 4), np.uint8))
    found.end()
    assert found.suspected == [100, 103, 106, 109]
