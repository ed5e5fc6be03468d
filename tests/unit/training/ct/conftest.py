"""Data for the tests of the training of CT engines."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed; pip install 'usassist[train]'")
pytest.importorskip("nibabel", reason="nibabel is not installed; pip install 'usassist[volumes]'")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny data set, the same for all tests."""
    from tests.unit.training.ct.heads import write_data

    return write_data(tmp_path_factory.mktemp("ct_data"))
