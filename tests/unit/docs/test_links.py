"""Links of the Markdown files: what they lead to is there, and so is the heading."""

from __future__ import annotations

import re
import subprocess
import urllib.parse
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?:(?!\1).)+?\1", re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
IMAGE = re.compile(r'<img [^>]*?src="([^"]+)"')
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


def markdown_files() -> list[Path]:
    """Those of the checkout, without environments and what was built."""
    run = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if run.returncode == 0:
        return sorted(path for name in run.stdout.decode().split("\0") if name and (path := ROOT / name).is_file())
    folders = ("docs", "engines", "calibration", "demo", "bench", "tests")
    return sorted([*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*.md"))])


def anchors(text: str) -> set[str]:
    """The anchors that a page gets from its headings, as GitHub makes them."""
    found: set[str] = set()
    for title in HEADING.findall(FENCE.sub("", text)):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def broken_links(page: Path, root: Path) -> list[str]:
    """Targets of a page's links that are not there, in words."""
    text = page.read_text(encoding="utf-8")
    wrong = []
    shown = CODE.sub("", FENCE.sub("", text))
    for target in (*LINK.findall(shown), *IMAGE.findall(shown)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = urllib.parse.unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_relative_to(root):
            wrong.append(f"{target} leads out of the project")
        elif not file.is_file():
            wrong.append(f"{target} is no file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
            wrong.append(f"{target} has no such heading")
    return wrong


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    assert broken_links(page, ROOT) == []


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One `word`, two\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Top\n[a](other.md#one-word-two) [b](other.md#twice-1) [c](#top) [d](https://example.org/x)\n"
        "[e](missing.md) [f](other.md#three)\n![g](none.png) [h](../outside.md)\n"
        '<img src="lost.png" alt="">\n'
        "`[i](in_code.md)`\n```\n[j](in_fence.md)\n```\n"
    )
    assert broken_links(page, tmp_path) == [
        "missing.md is no file",
        "other.md#three has no such heading",
        "none.png is no file",
        "../outside.md leads out of the project",
        "lost.png is no file",
    ]
