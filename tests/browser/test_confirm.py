"""Plane and side, and descriptors that a clinician confirms, as a person sees them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import archived_marks
from usassist.bus import MarkKind, Plane, Side
from usassist.records import ResultState

pytestmark = pytest.mark.browser

SAID = "document.querySelector('.us [data-at=mark-said]').textContent"
CHOSEN = {
    "Composition": "Solid or almost completely solid",
    "Echogenicity": "Hypoechoic",
    "Shape (transverse plane)": "Wider than tall",
    "Margin": "Smooth",
    "Echogenic foci (all that apply)": "Macrocalcification",
}
WORDS = {
    "composition": ("solid",),
    "echogenicity": ("hypoechoic",),
    "shape": ("wider",),
    "margin": ("smooth",),
    "foci": ("macrocalcification",),
}


PLANES = ", ".join(
    f"#us-{name}[aria-pressed=true]" for name in ("transverse", "longitudinal", "right", "isthmus", "left")
)


def pressed(page: Any) -> list[str]:
    names: list[str] = page.locator(f"{PLANES}").evaluate_all("all => all.map(node => node.id.slice(3))")
    return names


def wait_pressed(page: Any, *names: str) -> None:
    page.wait_for_function(
        f"names => [...document.querySelectorAll('{PLANES}')].map(node => node.id.slice(3)).join() === names",
        arg=",".join(names),
    )


def freeze(page: Any) -> None:
    page.keyboard.press("f")
    page.wait_for_function("usassist.frozen && document.querySelector('.us-choose') !== null")


def word(page: Any, group: str, text: str) -> Any:
    return page.get_by_role("group", name=group, exact=True).get_by_role("button", name=text, exact=True)


def confirm_all(page: Any) -> None:
    for group, text in CHOSEN.items():
        word(page, group, text).click()
    page.get_by_role("button", name="Confirm", exact=True).click()
    page.wait_for_function(
        "document.querySelector('.us-category') !== null && document.querySelector('.us [data-at=form]').hidden"
    )


# ---- Plane and side -------------------------------------------------------------------------------------------------


def test_two_keys_say_plane_and_side_and_the_page_shows_what_holds(page: Any, panel: Any, stream: Any) -> None:
    freeze(page)
    shown = int(page.locator(".us [data-at=frame]").inner_text())
    with archived_marks(panel.address) as wait_for_marks:
        page.keyboard.press("t")
        page.keyboard.press("r")
        wait_pressed(page, "transverse", "right")
        marks = wait_for_marks(2)
    assert [(mark.frame_id, mark.kind, mark.plane, mark.side) for mark in marks] == [
        (shown, MarkKind.PLANE, Plane.TRANSVERSE, None),
        (shown, MarkKind.PLANE, Plane.TRANSVERSE, Side.RIGHT),  # a statement is complete
    ]
    assert page.locator(".us [data-at=plane-since]").inner_text() == f"from frame {shown}"
    assert not page.complaints


def test_a_plane_holds_until_the_next_statement_and_a_frame_before_it_knows_nothing(page: Any, stream: Any) -> None:
    freeze(page)
    page.keyboard.press("f")
    page.wait_for_function("from => usassist.lastFrameId > from + 3", arg=page.evaluate("usassist.lastFrameId"))
    assert pressed(page) == []
    page.get_by_role("button", name="Long.").click()
    wait_pressed(page, "longitudinal")
    page.wait_for_function("from => usassist.lastFrameId > from + 3", arg=page.evaluate("usassist.lastFrameId"))
    assert pressed(page) == ["longitudinal"]
    page.keyboard.press("t")
    wait_pressed(page, "transverse")


def test_a_plane_said_of_a_live_frame_does_not_hold_on_a_frame_frozen_before(
    browser: Any, page: Any, panel: Any, stream: Any
) -> None:
    freeze(page)
    other = browser.new_page()
    other.goto(panel.url)
    other.wait_for_function(
        "from => window.usassist?.frames > 3 && usassist.lastFrameId > from", arg=page.evaluate("usassist.lastFrameId")
    )
    other.keyboard.press("l")
    wait_pressed(other, "left")
    page.wait_for_timeout(300)
    assert pressed(page) == []
    page.keyboard.press("f")
    wait_pressed(page, "left")
    other.close()


def test_the_same_statement_again_does_not_hide_what_another_page_states(
    browser: Any, page: Any, panel: Any, stream: Any
) -> None:
    freeze(page)
    page.keyboard.press("t")
    wait_pressed(page, "transverse")
    page.keyboard.press("t")
    page.wait_for_function(f"{SAID}.includes('marked: transverse')")
    page.keyboard.press("f")
    other = browser.new_page()
    other.goto(panel.url)
    other.wait_for_function("window.usassist?.frames > 3")
    wait_pressed(other, "transverse")
    other.keyboard.press("r")
    wait_pressed(page, "transverse", "right")
    page.keyboard.press("g")
    wait_pressed(page, "longitudinal", "right")
    other.close()


def test_a_plane_that_was_not_kept_is_not_shown_as_if_it_were(page: Any, stream: Any) -> None:
    stream.takes_post = False
    page.keyboard.press("t")
    page.wait_for_function(f"{SAID}.includes('mark \"transverse\" was not kept: no answer from the stream')")
    assert pressed(page) == []


# ---- Descriptors ----------------------------------------------------------------------------------------------------


def test_descriptors_that_are_chosen_and_confirmed_give_the_category(page: Any, panel: Any, stream: Any) -> None:
    assert not page.locator(".us-tirads").is_visible()
    freeze(page)
    shown = int(page.locator(".us [data-at=frame]").inner_text())
    page.locator(".us-choose").click()
    assert page.locator(".us-form h2").inner_text().startswith("Nodule N4")
    assert not page.locator(".us-tirads").is_visible()
    with archived_marks(panel.address) as wait_for_marks:
        confirm_all(page)
        (mark,) = wait_for_marks(1)
    assert (mark.frame_id, mark.kind, mark.track_id, mark.descriptors) == (shown, MarkKind.DESCRIPTORS, 4, WORDS)
    text = page.locator(".us-category").inner_text()
    assert text.splitlines() == [
        "N4: TR4, 5 points",
        "moderately suspicious, risk of malignancy 9.1 %",
        "FNA: ≥ 15 mm",
        "Follow-up: ≥ 10 mm, at 1, 2, 3 and 5 years",
        f"Confirmed on frame {shown}: " + " · ".join(CHOSEN.values()),
    ]
    assert "From descriptors confirmed by a clinician" in page.locator(".us-tirads").inner_text()
    page.evaluate("usassist.set('language', 'de')")
    text = page.locator(".us-category").inner_text()
    assert text.startswith("N4: TR4, 5 Punkte\nmäßig")
    assert "solid" not in text.splitlines()[-1].replace("solide", "")
    assert not page.locator(".us-form").is_visible()
    assert not page.complaints


def test_a_click_in_the_outline_chooses_its_nodule(page: Any, stream: Any) -> None:
    stream.nodules = 2
    page.wait_for_function("document.querySelectorAll('.us [data-at=rows] tr').length === 2")
    freeze(page)
    x, y = (
        160 + 40 * page.evaluate("Math.sin(Number(document.querySelector('.us [data-at=frame]').textContent) / 20)"),
        50,
    )
    scale, left, top = (page.evaluate("usassist.place")[name] for name in ("scale", "x", "y"))
    page.locator(".us canvas").click(position={"x": left + 5 * scale, "y": top + 5 * scale})
    assert not page.locator(".us-form").is_visible()
    page.locator(".us canvas").click(position={"x": left + x * scale, "y": top + y * scale})
    assert page.locator(".us-form h2").inner_text().startswith("Nodule N5")


def test_an_estimate_stands_beside_its_words_and_chooses_none(page: Any, stream: Any) -> None:
    stream.agreement = {"echogenicity": "kappa 0.31", "margins": "kappa 0.20"}
    page.wait_for_function("document.querySelector('.us [data-at=rows]').textContent.includes('hypoechoic')")
    freeze(page)
    page.locator(".us-choose").click()
    assert page.get_by_role("group", name="Echogenicity").locator("h3 small").inner_text() == "estimated: hypoechoic"
    assert page.locator(".us [data-at=form-estimates]").inner_text() == "margins (estimated): hypoechoic"
    assert page.locator(".us-form [role=group] [aria-pressed=true]").count() == 0
    assert page.locator(".us-confirm").is_disabled()


def test_one_word_of_each_but_several_foci_none_of_which_is_none(page: Any, stream: Any) -> None:
    freeze(page)
    page.locator(".us-choose").click()
    foci = "Echogenic foci (all that apply)"
    for group, text in [
        ("Margin", "Smooth"),
        ("Margin", "Ill-defined"),
        (foci, "None"),
        (foci, "Rim calcification"),
        (foci, "Punctate echogenic foci"),
    ]:
        word(page, group, text).click()
    chosen = page.locator(".us-form [role=group] [aria-pressed=true]")
    assert chosen.all_inner_texts() == ["Ill-defined", "Rim calcification", "Punctate echogenic foci"]
    word(page, foci, "None").click()
    assert chosen.all_inner_texts() == ["Ill-defined", "None"]
    word(page, "Margin", "Ill-defined").click()
    assert chosen.all_inner_texts() == ["None"]


def test_with_a_part_confirmed_there_is_no_category_and_the_rest_is_named(page: Any, stream: Any) -> None:
    freeze(page)
    page.locator(".us-choose").click()
    word(page, "Composition", "Spongiform").click()
    page.get_by_role("button", name="Confirm", exact=True).click()
    page.wait_for_function("document.querySelector('.us-category') !== null")
    assert page.locator(".us-category").inner_text().splitlines()[:2] == [
        "N4: no category",
        "not confirmed: echogenicity, shape (transverse plane), margin, echogenic foci (all that apply)",
    ]


def test_what_was_confirmed_is_there_after_a_reload_on_another_page_and_in_the_form(
    browser: Any, page: Any, panel: Any, stream: Any
) -> None:
    freeze(page)
    page.locator(".us-choose").click()
    confirm_all(page)
    page.reload()
    page.wait_for_function("document.querySelector('.us-category')?.textContent.startsWith('N4: TR4, 5 points')")
    other = browser.new_page()
    other.goto(panel.url)
    other.wait_for_function("document.querySelector('.us-category')?.textContent.startsWith('N4: TR4, 5 points')")
    other.close()
    freeze(page)
    page.locator(".us-choose").click()
    assert page.locator(".us-form [role=group] [aria-pressed=true]").all_inner_texts() == list(CHOSEN.values())
    word(page, "Shape (transverse plane)", "Taller than wide").click()
    page.get_by_role("button", name="Confirm", exact=True).click()
    page.wait_for_function("document.querySelector('.us-category').textContent.startsWith('N4: TR5, 8 points')")


def test_the_system_is_chosen_and_kept_across_a_reload(page: Any, stream: Any) -> None:
    freeze(page)
    page.locator(".us-choose").click()
    confirm_all(page)
    page.get_by_label("System", exact=True).select_option("K-TIRADS 2021")
    assert page.locator(".us-category b").inner_text() == "N4: K-TIRADS 4"
    assert "Pattern: solid hypoechoic, nothing suspicious" in page.locator(".us-category").inner_text()
    page.reload()
    page.wait_for_function("document.querySelector('.us-category b')?.textContent === 'N4: K-TIRADS 4'")
    page.get_by_label("System", exact=True).select_option("EU-TIRADS 2017")
    assert page.locator(".us-category b").inner_text() == "N4: EU-TIRADS 4"


def test_of_a_nodule_without_identity_nothing_can_be_confirmed_and_the_reason_is_given(page: Any, stream: Any) -> None:
    stream.tracked = False
    page.wait_for_function("document.querySelector('.us [data-at=rows] td')?.textContent === '1'")
    freeze(page)
    page.locator(".us-choose").click()
    assert page.locator(".us-form").is_visible()
    assert "is not tracked, so it has no identity" in page.locator(".us [data-at=form-said]").inner_text()
    assert not page.locator(".us-confirm").is_visible()
    assert page.locator(".us-form [role=group]").count() == 0


def test_on_a_moving_frame_nothing_is_chosen_and_the_page_says_what_to_do(page: Any, stream: Any) -> None:
    page.locator(".us [data-at=rows] td").first.dispatch_event("click")
    page.wait_for_function(f"{SAID} === 'freeze the frame (key F), then choose the nodule'")
    assert not page.locator(".us-form").is_visible()


def test_escape_and_unfreezing_close_the_form_without_a_mark(page: Any, stream: Any) -> None:
    for key in ("Escape", "f"):
        if not page.evaluate("usassist.frozen"):
            freeze(page)
        page.locator(".us-choose").click()
        word(page, "Margin", "Smooth").click()
        page.keyboard.press(key)
        assert not page.locator(".us-form").is_visible()
    assert page.locator(".us [data-at=mark-said]").inner_text() == ""
    assert page.locator(".us-category").count() == 0


def test_words_that_were_not_kept_stay_in_the_form_with_the_reason(page: Any, stream: Any) -> None:
    freeze(page)
    page.locator(".us-choose").click()
    word(page, "Margin", "Smooth").click()
    stream.takes_post = False
    page.get_by_role("button", name="Confirm", exact=True).click()
    page.wait_for_function(
        "document.querySelector('.us [data-at=form-said]').textContent === 'not kept: no answer from the stream'"
    )
    assert page.locator(".us-form [aria-pressed=true]").all_inner_texts() == ["Smooth"]
    assert page.locator(".us-category").count() == 0


def test_the_shape_of_a_frame_that_was_called_longitudinal_is_warned_of(page: Any, stream: Any) -> None:
    freeze(page)
    page.keyboard.press("g")
    wait_pressed(page, "longitudinal")
    page.locator(".us-choose").click()
    note = page.get_by_role("group", name="Shape (transverse plane)").locator("h3 small")
    assert note.inner_text() == "this frame was stated to be longitudinal"


def test_without_findings_there_is_nothing_to_choose(page: Any, stream: Any) -> None:
    stream.state = ResultState.NO_FINDING
    page.wait_for_function("usassist.state === 'no_finding'")
    page.keyboard.press("f")
    page.wait_for_function("usassist.frozen")
    assert page.locator(".us-choose").count() == 0
    assert page.locator(".us [data-at=choose-note]").inner_text() == ""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_form_does_not_cover_the_frame(page: Any, stream: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    freeze(page)
    page.locator(".us-choose").click()
    stage, form = page.locator(".us-stage").bounding_box(), page.locator(".us-form").bounding_box()
    assert form["x"] >= stage["x"] + stage["width"] or form["y"] >= stage["y"] + stage["height"]
    assert form["x"] + form["width"] <= width
