"""The option `--require MARKER` of our own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INI = "[pytest]\nmarkers =\n    gpu: needs one\n    slow: is so\naddopts = --strict-markers -p no:cacheprovider\n"

SKIPS = "import pytest\n@pytest.mark.gpu\ndef test_one():\n    pytest.skip('no GPU')\n"
SKIPS_BEFORE = "import pytest\n@pytest.mark.gpu\n@pytest.mark.skipif(True, reason='no GPU')\ndef test_one(): pass\n"
RUNS = "import pytest\n@pytest.mark.gpu\ndef test_one(): pass\n"
MODULE_SKIPS = "import pytest\npytest.importorskip('no_such_module')\n@pytest.mark.gpu\ndef test_one(): pass\n"
XFAILS = "import pytest\n@pytest.mark.gpu\n@pytest.mark.xfail\ndef test_one(): raise ValueError\n"
PLAIN = "import pytest\ndef test_two(): pytest.skip('another reason')\ndef test_three(): pass\n"


@pytest.fixture
def run(tmp_path: Path, repository: Path):
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "conftest.py").write_text((repository / "tests/conftest.py").read_text())

    def run(text: str, *options: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(text)
        (tmp_path / "test_plain.py").write_text(PLAIN)
        command = [sys.executable, "-m", "pytest", "-q", *options]
        # The option is tested, not the plugins.
        plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(repository)}
        answer = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
        return answer.returncode, answer.stdout + answer.stderr

    return run


@pytest.mark.parametrize("text", [SKIPS, SKIPS_BEFORE, MODULE_SKIPS], ids=["within", "before", "module"])
def test_a_skip_of_a_required_test_is_a_failure_with_its_reason(run, text: str) -> None:
    assert run(text)[0] == 0
    code, output = run(text, "--require", "gpu")
    assert code != 0
    assert "skipped, but --require gpu was given" in output
    assert ("no GPU" in output) or ("no_such_module" in output)


@pytest.mark.parametrize("text", [RUNS, XFAILS], ids=["runs", "fails as expected"])
def test_required_tests_that_run_are_enough_and_other_skips_stay_skips(run, text: str) -> None:
    code, output = run(text, "--require", "gpu")
    assert code == 0, output
    assert "1 skipped" in output


def test_a_run_without_any_required_test_is_a_failure(run) -> None:
    code, output = run(RUNS, "--require", "slow")
    assert code == 1
    assert "--require slow: no test with this marker has run" in output
    assert run(RUNS, "--require", "gpu", "-k", "nothing")[0] == 1


@pytest.mark.parametrize(("text", "code"), [(RUNS, 0), (SKIPS, 1), (PLAIN, 1)])
def test_it_holds_with_workers_too(run, text: str, code: int) -> None:
    assert run(text, "--require", "gpu", "-p", "xdist", "-n", "2")[0] == code


def test_a_marker_that_does_not_exist_is_refused(run) -> None:
    code, output = run(RUNS, "--require", "gup")
    assert code == 4
    assert "there is no such marker" in output
