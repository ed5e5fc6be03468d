"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clinic.orthanc import OrthancServer, running_orthanc
from tests.limits import Limits, restore_signals
from tests.required import Required
from tests.turns import Turns

restore_signals()


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `tests/required.py` and `tests/limits.py`."""
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="MARKER",
        help="tests with this marker must run: one that is skipped fails, and so does a run without any",
    )
    parser.addoption("--grace", type=float, default=60.0, metavar="S", help="from the limit of a test to the end")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Required(config), "required")
    config.pluginmanager.register(Limits(config.getoption("--grace")), "limits")
    config.pluginmanager.register(Turns(config), "turns")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests build goes into a folder of their own, not into the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USASSIST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def bus_address() -> Iterator[str]:
    """A bus of the test's own, in a folder whose path is short enough for a socket."""
    folder = tempfile.mkdtemp(prefix="usa")
    yield f"ipc://{folder}"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """One Orthanc for all tests that only add to it, and look for what they added."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
