"""The report of a sweep: its page, its JSON, and when there is none."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import string
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tests.samples import ENGINE
from tests.sweeps import Moment, Shown, mark, record_sweep
from tools.report_schema import SCHEMA_FILE, write_schema
from usassist.bus import MarkKind, Plane, Side
from usassist.clinical import DESCRIPTORS, SYSTEMS
from usassist.errors import SessionError, UsageError
from usassist.records import Cause, SignalState
from usassist.session import open_session
from usassist.session.report import write_report
from usassist.session.summary import SweepDocument, summarise
from usassist.words import Words, languages, load_words

ROOM = SCHEMA_FILE.parent
GOLDEN = Path(__file__).parents[2] / "golden" / "reports" / "small.json"
WORDS = {code: load_words(code, "report").texts for code in languages()}
CONFIRMED = {
    "composition": ("solid",),
    "echogenicity": ("hypoechoic",),
    "shape": ("wider",),
    "margin": ("irregular",),
    "foci": ("punctate", "macrocalcification"),
}
_VOID = {"meta", "br", "link", "img", "hr", "input"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodules, both planes of the first, descriptors, frozen frames, dropped ones, some without identity."""
    one, long = Shown(track_id=1), Shown(track_id=1, axes=(26, 13))
    two = Shown(track_id=2, center=(30, 95), axes=(9, 9), cut=True)
    moments = [
        *[Moment(nodules=(one,))] * 6,
        *[Moment(nodules=(long, two))] * 6,
        Moment(cause=Cause.DROPPED),
        *[Moment(picture=SignalState.FROZEN)] * 3,
        Moment(nodules=(Shown(track_id=3),), scaled=False),
        Moment(nodules=(Shown(track_id=-1),)),
        Moment(),
    ]
    marks = [
        mark(0, MarkKind.PLANE, plane=Plane.TRANSVERSE, side=Side.LEFT),
        mark(6, MarkKind.PLANE, plane=Plane.LONGITUDINAL, side=Side.LEFT),
        mark(11, MarkKind.DESCRIPTORS, track_id=1, descriptors=CONFIRMED),
        mark(3, MarkKind.MISSED),
    ]
    return record_sweep(tmp_path_factory.mktemp("sweep") / "s", moments, marks)


@pytest.fixture(scope="module")
def pages(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page in every language."""
    folder = tmp_path_factory.mktemp("pages")
    session = open_session(sweep)
    return {
        code: write_report(session, folder / f"{code}.html", language=code).page.read_text(encoding="utf-8")
        for code in languages()
    }


class _Reader(HTMLParser):
    """Checks nesting, and collects tags with attributes and the text that is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \t\n]+", " ", " ".join(self.shown))


def test_the_page_is_well_formed_and_loads_nothing(pages: dict[str, str]) -> None:
    for code, page in pages.items():
        reader = _Reader(page)
        assert ("html", {"lang": code}) in reader.tags
        assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in reader.tags}
        for _, attributes in reader.tags:
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("href", "src", "xlink:href", "action"):
                assert (attributes.get(name) or "data:").startswith("data:")
        urls = set(re.findall(r"https?://[^\"' )<]+", page))
        assert urls <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"@import|url\((?!#)", page)


def test_every_picture_says_what_it_shows_and_every_table_has_heads(pages: dict[str, str]) -> None:
    reader = _Reader(pages["en"])
    pictures = [
        attributes for tag, attributes in reader.tags if tag == "svg" and attributes.get("aria-hidden") != "true"
    ]
    assert len(pictures) == 1 + (2 + 1) + 2 + 1  # time line; whole, crop and other plane of N1; of N2; of the run
    assert all(item["role"] == "img" and len(item["aria-label"] or "") > 10 for item in pictures)
    assert sum(tag == "image" for tag, _ in reader.tags) == len(pictures) - 1
    heads = [attributes for tag, attributes in reader.tags if tag == "th"]
    assert heads
    assert all(item.get("scope") in ("col", "row") for item in heads)


def test_the_page_has_what_a_reader_asks_for(pages: dict[str, str], sweep: Path) -> None:
    text = _Reader(pages["en"]).text
    document = summarise(open_session(sweep))
    first = document.nodules[0]
    assert first.dimensions is not None
    volume = first.dimensions.volume_ml
    for part in (
        "Research use only. Not a medical device.",
        document.sweep.session_id,
        "Nodule N1 left",
        f"{volume.value:.2f}\u00a0mL",
        "TR5, 10 points",
        "≥ 10 mm",
        "confirmed",
        "needs clinician",
        "κ 0.40 (0.20 to 0.60), 9 nodules of 7 cases",
        "The border of the scan cuts this nodule on every frame",
        "≥\u00a0",
        "balanced: finds 95 of 100 nodules, 0.08 false alarms per frame",
        "dropped: a newer frame came before the engine was free",
        "frozen",
        "N3",  # not listed, and named
        "not tracked",
        "nodule was missed",
        ENGINE.engine_id,
        "ruler on the screen: 0.2000 × 0.2000 mm per px (rows × columns) ± 2.0 %",
    ):
        assert part in text, part


def test_no_sentence_recommends(pages: dict[str, str]) -> None:
    for code, pattern in (
        ("en", r"recommend(ed|s)? (a )?(biopsy|FNA)|should|must"),
        ("de", r"wird empfohlen|ist angezeigt|sollte"),
        ("ko", r"권고합니다|권장|해야 합니다"),
    ):
        assert not re.search(pattern, _Reader(pages[code]).text), code


def test_numbers_have_the_decimal_sign_of_the_language(pages: dict[str, str]) -> None:
    assert re.search(r"\d\.\d\u00a0mm \(\d+\.\d to", pages["en"])
    german = _Reader(pages["de"]).text
    assert re.search(r"\d,\d\u00a0mm \(\d+,\d bis \d+,\d\)", german)
    assert not re.search(r"\d\.\d\u00a0(mm|ml|s)\b", german)


def test_a_name_that_is_markup_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    label = msgspec.structs.replace(ENGINE.labels[0], name="<b>x")
    engine = msgspec.structs.replace(ENGINE, labels=(label,), descriptor_agreement={"echogenicity": "<i>k"})
    folder = record_sweep(
        tmp_path / "s",
        [Moment(nodules=(Shown(track_id=1, echogenicity="<u>y"),))] * 5,
        engine=engine,
        source="</style><script>",
    )
    page = write_report(open_session(folder), tmp_path / "r.html").page.read_text()
    _Reader(page)
    for text in ("<script", "<b>x", "<i>k", "<u>y"):
        assert text not in page
    assert "&lt;/style&gt;&lt;script&gt;" in page
    assert "&lt;u&gt;y" in page


def test_the_json_follows_its_schema(sweep: Path, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the extra `dev`")
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    written = write_report(open_session(sweep), tmp_path / "r.html")
    assert written.data == tmp_path / "r.json"
    document = json.loads(written.data.read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(document | {"advice": "biopsy"})
    assert msgspec.convert(document, SweepDocument) == written.document


def test_the_schema_in_the_package_is_that_of_the_classes() -> None:
    assert SCHEMA_FILE.read_text() == write_schema(), "renew it with: python -m tools.report_schema"


def test_every_field_of_the_json_is_on_the_page_of_the_report() -> None:
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text()
    fields = {name for part in json.loads(SCHEMA_FILE.read_text())["$defs"].values() for name in part["properties"]}
    assert sorted(name for name in fields if f"`{name}`" not in text) == []


def _same(found: object, stored: object) -> bool:
    """Alike; numbers to 2e-3, because sharpness is computed with what the processor has."""
    if isinstance(stored, dict) and isinstance(found, dict):
        return found.keys() == stored.keys() and all(_same(found[key], stored[key]) for key in stored)
    if isinstance(stored, list) and isinstance(found, list):
        return len(found) == len(stored) and all(_same(one, two) for one, two in zip(found, stored, strict=True))
    if isinstance(stored, float) and isinstance(found, (int, float)):
        return found == pytest.approx(stored, abs=2e-3)
    return found == stored


def test_a_small_sweep_gives_the_stored_document(sweep: Path) -> None:
    document = json.loads(msgspec.json.encode(summarise(open_session(sweep))))
    document["sweep"]["created_utc"] = ""
    stored = json.loads(GOLDEN.read_text())
    different = [key for key in stored.keys() | document.keys() if not _same(document.get(key), stored.get(key))]
    assert different == []
    changed = json.loads(GOLDEN.read_text())
    changed["nodules"][0]["best"]["sizes"]["ap"]["mm"] += 0.01
    assert not _same(document, changed)


def test_all_languages_have_the_same_keys_and_places() -> None:
    assert set(WORDS) == set(languages()) >= {"en", "ko", "de"}

    def places(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)

    for code, words in WORDS.items():
        assert words.keys() == WORDS["en"].keys(), code
        for key, text in words.items():
            if not key.startswith("format.date"):
                assert places(text) == places(WORDS["en"][key]), (code, key)
            assert text.strip(), (code, key)


def test_the_words_cover_what_recordings_and_systems_can_hold() -> None:
    keys = WORDS["en"]
    assert {f"cause.{item}" for item in Cause} <= keys.keys()
    assert {f"signal.{item}" for item in SignalState} - {"signal.live"} <= keys.keys()
    assert {f"marks.{item}" for item in MarkKind} <= keys.keys()
    assert {f"plane.{item}" for item in Plane} | {f"side.{item}" for item in Side} <= keys.keys()
    assert {f"descriptor.{name}" for name in DESCRIPTORS} <= keys.keys()
    assert {f"word.{name}.{word}" for name, words in DESCRIPTORS.items() for word in words} <= keys.keys()
    levels = [level for system in SYSTEMS.values() for level in system.levels if not level.no_nodule]
    assert {f"meaning.{level.level.replace(' ', '-')}" for level in levels} <= keys.keys()


def test_the_template_has_no_words_of_its_own() -> None:
    template = (ROOM / "report.html.j2").read_text()
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|<[^>]*>", " ", template, flags=re.DOTALL)
    assert re.findall(r"[^\W\d_]{2,}", text) == []
    for attribute in ("alt", "aria-label", "title", "placeholder"):
        assert not re.search(rf'\b{attribute}="(?!\{{\{{)', template)


class _Marked(Words):
    """Every text of the table is replaced by one sign, so that what is left on the page does not come from it."""

    def __call__(self, key: str, **values: object) -> str:
        super().__call__(key, **values)
        if key == "format.decimal":
            return "."
        return "§"


def test_no_text_of_the_page_is_outside_the_table(sweep: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("usassist.session.report.write.load_words", lambda code, part: _Marked(code, WORDS["en"]))
    document = write_report(open_session(sweep), tmp_path / "r.html").document
    page = (tmp_path / "r.html").read_text()
    text = _Reader(page).text
    labels = " ".join(attributes.get("aria-label") or "" for _, attributes in _Reader(page).tags)
    recorded = json.loads(msgspec.json.encode(document))
    allowed = set(re.findall(r"[^\W\d_]{2,}", json.dumps(recorded, ensure_ascii=False)))
    left = set(re.findall(r"[^\W\d_]{2,}", f"{text} {labels}")) - allowed
    assert left == set()


def test_an_unknown_language_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(UsageError, match="de, en, ko"):
        load_words("xx", "report")
    with pytest.raises(UsageError):
        load_words("../en", "report")


def test_existing_files_are_refused_and_stay(sweep: Path, tmp_path: Path) -> None:
    session = open_session(sweep)
    (tmp_path / "r.json").write_text("mine")
    with pytest.raises(SessionError, match=r"r\.json already exists.*--overwrite"):
        write_report(session, tmp_path / "r.html")
    assert (tmp_path / "r.json").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json"]
    write_report(session, tmp_path / "r.html", overwrite=True)
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "usassist.report"
    assert stat.S_IMODE((tmp_path / "r.html").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["r.pdf", "r", "r.json"])
def test_a_name_that_is_no_html_file_is_refused(sweep: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends with \.html"):
        write_report(open_session(sweep), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_session_is_not_written_into(sweep: Path) -> None:
    before = sorted(path.name for path in sweep.iterdir())
    with pytest.raises(UsageError, match="lies in the session"):
        write_report(open_session(sweep), sweep / "report.html")
    assert sorted(path.name for path in sweep.iterdir()) == before


def test_a_folder_that_is_missing_is_one_line(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="cannot be written: No such file or directory; choose another --out"):
        write_report(open_session(sweep), tmp_path / "none" / "r.html")


def test_a_full_disk_leaves_nothing(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, **_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SessionError, match="the disk is full"):
        write_report(open_session(sweep), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_session_leaves_nothing(sweep: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "s"
    shutil.copytree(sweep, folder)
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SessionError, match="session repair"):
        write_report(open_session(folder), tmp_path / "r.html")
    assert [item.name for item in tmp_path.iterdir()] == ["s"]
