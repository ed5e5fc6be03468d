"""`--require gpu`: on a machine that has a GPU, that its tests were skipped must not look like success."""

from __future__ import annotations

from collections.abc import Generator

import pytest


class Required:
    """Hooks of pytest. Where pytest-xdist runs the tests in workers, those that ran are counted by the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._names: list[str] = list(config.getoption("--require"))
        self._ran: set[str] = set()
        self._is_worker = hasattr(config, "workerinput")
        known = {line.split(":")[0].split("(")[0].strip() for line in config.getini("markers")}
        for name in self._names:
            if name not in known:
                raise pytest.UsageError(f"--require {name}: there is no such marker; pytest --markers lists them")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        for name in self._names:
            if item.get_closest_marker(name) and report.skipped and not hasattr(report, "wasxfail"):
                report.outcome = "failed"
                report.longrepr = f"skipped, but --require {name} was given: {report.longrepr}"
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A module that skips itself as a whole shows no tests, and so no markers."""
        report = yield
        if report.skipped and isinstance(collector, pytest.Module):
            text = collector.path.read_text(encoding="utf-8")
            for name in self._names:
                if f"mark.{name}" in text:
                    report.outcome = "failed"
                    report.longrepr = f"skipped, but --require {name} was given: {report.longrepr}"
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._ran |= {name for name in self._names if name in report.keywords}

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._missing() and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in self._missing():
            terminalreporter.write_line(f"--require {name}: no test with this marker has run", red=True)

    def _missing(self) -> list[str]:
        return [] if self._is_worker else sorted(set(self._names) - self._ran)
