"""The settings of Sphinx: the pages of this checkout, and the reference from the docstrings; built by ``make docs``.

The source folder is the checkout itself, so that pages link to one another as they lie there. The reference is written
into ``out/reference`` first: every room, a page for each of its folders, every module.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import _MockObject

from tools.architecture import read_code

_MockObject.__or__ = lambda self, other: self  # Tensor | None, where torch is not installed

project = "usassist"
html_title = "usassist"
copyright = "the authors of usassist. Research use only; not a medical device"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/adr/*.md",
    "out/reference/*.rst",
    "engines/**.md",
    "calibration/README.md",
    "demo/README.md",
    "bench/peers/README.md",
    "tests/golden/sessions/README.md",
]

myst_heading_anchors = 4
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autosummary_generate = False
toc_object_entries = False
suppress_warnings = ["ref.python"]  # the name of an attribute that two classes have
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch", "nncf", "onnx", "onnxscript", "onnxconverter_common", "tensorrt", "sklearn", "scipy"]

html_theme = "furo"
html_extra_path = ["html"]  # its index.html leads to the root page
html_copy_source = False
html_show_sphinx = False

SECTIONS = {
    "Use": ["commands", "python", "sources", "live", "recording", "replay", "bus", "settings"],
    "Judge": ["evaluation", "performance"],
    "Extend": ["architecture", "glossary", "engines", "modalities", "training"],
}
LATER = ["CONTRIBUTING", "out/reference/index", "CHANGELOG"]
DATA = ["engines/**", "calibration/README", "demo/README", "bench/peers/README", "tests/golden/sessions/README"]


def setup(app: Sphinx) -> None:
    """Write the reference, and add the contents to the root page."""
    app.connect("config-inited", _write_reference)
    app.connect("source-read", _add_contents)


def _write_reference(app: Sphinx, _: object) -> None:
    code = read_code(Path(app.srcdir))
    pages: dict[str, list[str]] = {}
    for room in code.rooms:
        for module in sorted(name for name in code.files if code.room_of(name) == room and "__main__" not in name):
            is_folder = code.files[module].endswith("__init__.py")
            page = module if is_folder or module == room else module.rpartition(".")[0]
            pages.setdefault(page, []).append(module)
    folder = Path(app.srcdir) / "out" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    names = "".join(f"   {page}\n" for page in pages)
    (folder / "index.rst").write_text(
        f"{_title('Reference', '=')}Every module, by room; :doc:`/docs/architecture` says what belongs into which.\n\n"
        f".. autosummary::\n\n{names}\n.. toctree::\n   :hidden:\n\n{names}"
    )
    for page, modules in pages.items():
        parts = [_title(page, "=")]
        for module in modules:
            folder_of_room = code.files[module].endswith("__init__.py") and module != "usassist"
            parts += [] if module == page else [_title(module.removeprefix(f"{page}."), "-")]
            parts.append(f".. automodule:: {module}\n" + ("" if folder_of_room else "   :members:\n") + "\n")
        (folder / f"{page}.rst").write_text("".join(parts))


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    if name != root_doc:
        return
    listed = {page for pages in SECTIONS.values() for page in pages}
    others = sorted(path.stem for path in (Path(app.srcdir) / "docs").glob("*.md") if path.stem not in listed)
    sections = {title: [f"docs/{page}" for page in pages] for title, pages in SECTIONS.items()}
    sections["Extend"] += [*(f"docs/{page}" for page in others), *LATER]
    sections |= {"Data": DATA, "Decisions": ["docs/adr/*"]}
    for title, pages in sections.items():
        source[0] += "\n\n```{toctree}\n:hidden:\n:glob:\n:caption: " + title + "\n\n" + "\n".join(pages) + "\n```\n"
