"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.limits import Limits, restore_signals

restore_signals()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--require gpu`: on a machine that has a GPU, that its tests were skipped must not look like success.

    `--grace S`: see `tests/limits.py`.
    """
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="MARKER",
        help="tests with this marker must run: one that is skipped fails, and so does a run without any",
    )
    parser.addoption("--grace", type=float, default=60.0, metavar="S", help="from the limit of a test to the end")


def pytest_configure(config: pytest.Config) -> None:
    known = {line.split(":")[0].split("(")[0].strip() for line in config.getini("markers")}
    for name in _required(config):
        if name not in known:
            raise pytest.UsageError(f"--require {name}: there is no such marker; pytest --markers lists them")
    config.stash[_RAN] = set()
    config.pluginmanager.register(Limits(config.getoption("--grace")), "limits")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for name in _required(item.config):
        if item.get_closest_marker(name) is None:
            continue
        if report.skipped and not hasattr(report, "wasxfail"):
            report.outcome, report.longrepr = "failed", f"skipped, but --require {name} was given: {report.longrepr}"
        elif report.when == "call":
            item.config.stash[_RAN].add(name)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself as a whole shows no tests, and so no markers."""
    report = yield
    if report.skipped and isinstance(collector, pytest.Module):
        text = collector.path.read_text(encoding="utf-8")
        for name in _required(collector.config):
            if f"mark.{name}" in text:
                report.outcome = "failed"
                report.longrepr = f"skipped, but --require {name} was given: {report.longrepr}"
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    missing = set(_required(session.config)) - session.config.stash[_RAN]
    if missing and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in sorted(set(_required(config)) - config.stash[_RAN]):
        terminalreporter.write_line(f"--require {name}: no test with this marker has run", red=True)


_RAN = pytest.StashKey[set[str]]()


def _required(config: pytest.Config) -> list[str]:
    return list(config.getoption("--require"))


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


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
