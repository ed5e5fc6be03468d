from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from usassist.errors import ConfigError
from usassist.training.data.duplicates import TRAINING, VALIDATION
from usassist.training.data.terms import describe_terms, load_terms, render_table, require_terms

ENTRY = """
[one]
title = "a set"
uses = ["validation"]
purpose = "figures"
terms = "MIT"
confirmed = true
source = "somewhere"
citation = "someone"
never = "not for training"
"""
DATA = os.environ.get("USASSIST_DATA")
PAGE = Path(__file__).resolve().parents[4] / "docs" / "training-data.md"


@pytest.fixture
def terms(tmp_path):
    path = tmp_path / "terms.toml"
    path.write_text("schema = 1\n" + ENTRY, encoding="utf-8")
    return load_terms(path)


def test_a_set_without_an_entry_or_with_another_use_is_refused(terms):
    assert [entry.name for entry in require_terms(["one"], "validation", terms)] == ["one"]
    with pytest.raises(ConfigError, match=r"no terms are stated for two; add an entry"):
        require_terms(["one", "two"], "validation", terms)
    with pytest.raises(ConfigError, match=r"one is not for the use 'training' \(not for training\)"):
        require_terms(["one"], "training", terms)
    with pytest.raises(ConfigError, match="a use of data is one of"):
        require_terms(["one"], "fun", terms)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema = 1"),
        ('terms = "MIT"\n', "", "terms is missing"),
        ('terms = "MIT"', 'terms = " "', "terms must be one line"),
        ('terms = "MIT"', 'terms = "MIT"\nprice = "0"', "price is missing or unknown"),
        ('["validation"]', '["selling"]', "uses must list some of"),
        ("confirmed = true", 'confirmed = "yes"', "confirmed must be true or false"),
        ("[one]", "[one", "cannot be read"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, old, new, message):
    path = tmp_path / "terms.toml"
    path.write_text(("schema = 1\n" + ENTRY).replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_terms(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_terms(tmp_path / "nowhere.toml")


def test_the_terms_of_every_set_that_is_used_are_stated():
    terms = load_terms()
    taught = {folder for folder, _ in TRAINING} | {"phantom", "ultrasound_clips_lung", "ultrasound_carotid"}
    assert len(require_terms(taught, "training", terms)) == len(taught)
    require_terms({folder for folder, _ in VALIDATION}, "validation", terms)
    for name in ("thyroid_cine", "thyroid_tn3k9"):
        for use in ("training", "teacher"):
            with pytest.raises(ConfigError, match=name):
                require_terms([name], use, terms)


def test_the_manifest_and_the_page_show_the_entries(terms):
    described = json.loads(json.dumps(describe_terms(terms.values())))
    assert described[0]["name"] == "one"
    assert described[0]["terms"] == "MIT"
    assert (
        "| `one`: a set | validation: figures | MIT | yes | somewhere | someone | not for training |"
        in render_table(terms.values())
    )
    assert render_table(load_terms().values()) in PAGE.read_text(encoding="utf-8")


@pytest.mark.skipif(not DATA, reason="USASSIST_DATA is not set")
def test_the_sources_stated_are_those_of_the_sets():
    for name, entry in load_terms().items():
        stated = Path(str(DATA)) / name / "SOURCE.txt"
        if stated.is_file():
            text = stated.read_text(encoding="utf-8")
            commit = entry.source.split("commit ")[1].split()[0].rstrip(",;)") if "commit " in entry.source else ""
            assert commit in text, name
            assert entry.source.split(",")[0] in text, name
