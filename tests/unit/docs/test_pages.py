"""What pages say of the code is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import usassist
from tools.commands_page import renew_commands

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
NAMED_FILE = re.compile(
    r"`((?:usassist|tools|tests|bench|demo|docs|engines|calibration|recipes)/[\w./-]*\w\.(?:py|md|toml|csv|sh|npz|png))`"
)
# Files that a page has its reader write.
EXAMPLES = {"usassist/sources/ramp.py", "usassist/sources/inputs/stripes.py"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in DOCS.glob("*.md"))])
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = set(NAMED_FILE.findall((ROOT / page).read_text(encoding="utf-8"))) - EXAMPLES
    assert sorted(name for name in named if "NAME" not in name and not (ROOT / name).is_file()) == []


def test_the_page_of_the_commands_lists_what_the_command_line_offers() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert page == renew_commands(page), "docs/commands.md is stale; renew it with: python -m tools.commands_page"


def test_the_version_is_the_same_in_the_project_the_package_and_the_changelog() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == usassist.__version__
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
