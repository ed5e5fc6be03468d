"""The settings of Sphinx: the pages of this checkout, and the reference from the docstrings; built by ``make docs``.

The source folder is the checkout itself, so that pages link to one another as they lie there. The reference is written
into ``out/reference`` first: every room, a page for each of its folders, every module.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc.mock import _MockObject
from sphinx.util import logging

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

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autosummary_generate = False
toc_object_entries = False
add_module_names = False
python_use_unqualified_type_names = True
suppress_warnings = ["ref.python"]  # the name of an attribute that two classes have
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch", "nncf", "onnx", "onnxscript", "onnxconverter_common", "tensorrt", "sklearn", "scipy"]

html_theme = "furo"
html_extra_path = ["html"]  # its index.html leads to the root page
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

SECTIONS = {
    "Use": [
        "commands",
        "python",
        "sources",
        "live",
        "demo",
        "access",
        "calibrate",
        "recording",
        "dicom",
        "dicom-report",
        "receiving",
        "ct",
        "ct-reading",
        "ct-level",
        "ct-body",
        "ct-worklist",
        "ct-dicom",
        "replay",
        "deidentify",
        "bus",
        "plus",
        "slicer",
        "settings",
    ],
    "Judge": ["figures", "evaluation", "performance"],
    "Extend": ["architecture", "glossary", "engines", "modalities", "training", "ct-ich"],
}
LATER = ["CONTRIBUTING", "out/reference/index", "CHANGELOG"]
DATA = ["engines/**", "calibration/README", "demo/README", "bench/peers/README", "tests/golden/sessions/README"]


def setup(app: Sphinx) -> None:
    """Write the reference, and add the contents to the root page."""
    app.connect("config-inited", _write_reference)
    app.connect("source-read", _add_contents)
    app.connect("missing-reference", _find_exported)
    app.connect("autodoc-skip-member", _skip_others)


def _skip_others(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Leave out what a module passes on from another library."""
    origin = getattr(member, "__module__", None)
    return True if isinstance(origin, str) and origin.partition(".")[0] in ("av", "gradio") else None


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


def _find_exported(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element
) -> nodes.Element | None:
    """Lead a reference to a name that a package exports to where it is defined; complain where there is none."""
    if node.get("refdomain") != "py" or not isinstance(shown, nodes.literal) or not node.source:
        return None  # a type in a signature
    inside = [".".join(filter(None, (node.get("py:module"), part))) for part in (node.get("py:class"), None)]
    names = [node["reftarget"], *(f"{part}.{node['reftarget']}" for part in inside)]
    named = next((found for name in names if (found := _named(name))), None)
    if named is None:
        logging.getLogger(__name__).warning("there is no %s", node["reftarget"], location=node)
        return None
    target = f"{getattr(named[0], '__module__', '')}.{named[1]}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, shown)


def _named(name: str) -> tuple[object, str] | None:
    """What a dotted name stands for, and its name within its module."""
    package, _, rest = name.rpartition(".")
    while package:
        try:
            found: object = importlib.import_module(package)
            for part in rest.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            package, _, last = package.rpartition(".")
            rest = f"{last}.{rest}"
        else:
            return found, rest
    return None
