"""The query view: from an image or a record to ranked matches, and what can be done with them."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from benchmarks.live_service import LiveService
from index.datasets.manifest import read_manifest
from model.image import decode_image, encode_image, read_image
from service.settings import shipped_checkpoint
from tests.service.page.accessibility import PHONE, overhang, tab_to, violations
from tests.service.page.conftest import WAIT_MS
from tests.service.page.query_gallery import Drawn, QueryGallery, enrol_gallery

expect.set_options(timeout=WAIT_MS)


NUM_RECORDS = 205
"""More than the largest usual number of matches."""
COLUMNS = ["rank", "id", "identity", "distance", "probability", "judgement", "camera", "captured_at", "source"]


@pytest.fixture(scope="module")
def gallery(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> QueryGallery:
    return enrol_gallery(service.client, shipped_checkpoint().parent, tmp_path_factory.mktemp("frame"), NUM_RECORDS)


def choose(page: Page, file: Path) -> None:
    """Chooses a file, as the button does."""
    page.locator("input[type=file]").first.set_input_files(file)


def matches(page: Page) -> Locator:
    return page.get_by_role("list", name="Matches").get_by_role("listitem")


def record_address(vehicle: Drawn) -> str:
    return f"/#/query?record={vehicle.id}"


def ask(service: LiveService, **fields: str) -> dict[str, Any]:
    """The answer to a query without an image, as the service gives it to any client."""
    answer = service.client.post("/query", files=[(name, (None, value)) for name, value in fields.items()])
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_a_crop_is_searched_for_as_soon_as_it_is_chosen(page: Page, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[2]
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Find a vehicle")
    choose(page, vehicle.crop)
    decision = page.get_by_role("region", name="What was found").get_by_role("status")
    expect(decision).to_contain_text(vehicle.identity)
    expect(decision).to_contain_text(f"{NUM_RECORDS} records searched")
    expect(matches(page)).to_have_count(10)
    nearest = matches(page).first
    expect(nearest).to_contain_text(vehicle.identity)
    expect(nearest).to_contain_text("distance 0.0")
    for text in ("gate", "48.13700, 11.57500", "frame.png"):
        expect(nearest).to_contain_text(text)
    # Both pictures of the match, and the query beside its aligned view.
    expect(nearest.locator("img")).to_have_count(2)
    expect(page.get_by_role("img", name="The vehicle that was searched for")).to_be_visible()
    expect(page.get_by_role("img", name="The same, turned as the network compares it")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^(Turned by \d+°|Not turned)"))).to_be_visible()
    # The long warning about the calibration is one line until it is opened.
    note = page.get_by_text("Calibrated on drawn vehicles, not on yours")
    expect(page.get_by_text("the promise holds for this gallery")).to_be_hidden()
    note.click()
    expect(page.get_by_text("the promise holds for this gallery")).to_be_visible()


def test_a_real_vehicle_is_found_in_another_photograph(
    page: Page, service: LiveService, gallery: QueryGallery, uav_frames: Path, tmp_path: Path
) -> None:
    entries = [entry for entry in read_manifest(uav_frames / "manifest.csv").entries if entry.identity == "dji-132"]
    enrolled, asked = entries[0], entries[1]
    metadata = json.dumps([{"box": str(enrolled.box), "identity": enrolled.identity, "tags": ["real"]}])
    image = (uav_frames / enrolled.path).read_bytes()
    answer = service.client.post("/gallery", files={"images": ("real.jpg", image)}, data={"metadata": metadata})
    assert answer.status_code == 201, answer.text
    assert asked.box is not None
    crop = tmp_path / "crop.png"
    crop.write_bytes(encode_image(asked.box.cut(read_image(uav_frames / asked.path)), "PNG"))
    try:
        page.goto("/#/query")
        choose(page, crop)
        expect(matches(page).first).to_contain_text("dji-132")
    finally:
        service.client.delete("/gallery", params={"identity": "dji-132"})


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(page: Page, gallery: QueryGallery, way: str) -> None:
    vehicle = gallery.vehicles[5]
    page.goto("/#/query")
    expect(page.get_by_role("heading", name="Drop a picture of a vehicle here")).to_be_visible()
    content = list(vehicle.crop.read_bytes())
    page.evaluate(
        """([way, content]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(content)], "crop.jpg", { type: "image/jpeg" }));
          const event = way === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
          document.querySelector("main").dispatchEvent(event);
        }""",
        [way, content],
    )
    expect(matches(page).first).to_contain_text(vehicle.identity)


def test_a_file_that_is_no_image_is_refused_in_words(page: Page, gallery: QueryGallery, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no image at all")
    page.goto("/#/query")
    choose(page, text)
    expect(page.get_by_text("This browser cannot show the file")).to_be_visible()
    alert = page.get_by_role("alert")
    expect(alert.get_by_role("heading")).to_have_text("Unusable image")
    # Another file goes on from there.
    choose(page, gallery.vehicles[0].crop)
    expect(matches(page).first).to_contain_text(gallery.vehicles[0].identity)
    expect(alert).to_have_count(0)


def test_an_image_that_the_browser_cannot_show_is_searched_for_as_a_whole(
    page: Page, gallery: QueryGallery, tmp_path: Path
) -> None:
    vehicle = gallery.vehicles[3]
    tiff = tmp_path / "crop.tif"
    tiff.write_bytes(encode_image(read_image(vehicle.crop), "TIFF"))
    page.goto("/#/query")
    choose(page, tiff)
    expect(page.get_by_text("This browser cannot show the file")).to_be_visible()
    expect(matches(page).first).to_contain_text(vehicle.identity)


def test_a_record_is_searched_for_by_its_address(page: Page, service: LiveService, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[1]
    address = f"{record_address(vehicle)}&top_k=7&camera=mast&group_by=identity"
    page.goto(address)
    expect(matches(page)).to_have_count(7)
    expect(page.get_by_role("heading", name=vehicle.identity)).to_be_visible()
    expect(page.get_by_role("list", name="Conditions")).to_contain_text("camera mast")
    answer = ask(service, record=vehicle.id, top_k="7", camera="mast", group_by="identity")
    shown = [name.removesuffix(". Open") for name in _names(page)]
    assert shown == [f"Match {match['rank']}: {match['identity']}" for match in answer["matches"]]
    assert len({match["identity"] for match in answer["matches"]}) == 7
    # The link that is copied is that address; conditions are taken off one by one.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("The link is copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert set(copied.split("?")[1].split("&")) == set(address.split("?")[1].split("&"))
    page.get_by_role("button", name="Take off camera mast").click()
    expect(page.get_by_text(re.compile(f"^{NUM_RECORDS - 1} records searched"))).to_be_visible()
    assert "camera" not in page.url


def _names(page: Page) -> list[str]:
    return [button.get_attribute("aria-label") or "" for button in page.locator(".match-open").all()]


def test_a_query_is_there_again_after_another_view(page: Page, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[4]
    page.goto("/#/query")
    choose(page, vehicle.crop)
    expect(matches(page)).to_have_count(10)
    page.get_by_role("button", name="Right: match 1", exact=True).click()
    queries = list[str]()
    page.on("request", lambda request: queries.append(request.url) if request.url.endswith("/query") else None)
    page.get_by_role("link", name="Gallery").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Gallery")
    page.get_by_role("link", name="Query", exact=True).click()
    expect(matches(page)).to_have_count(10)
    expect(page.get_by_role("button", name="Right: match 1", exact=True)).to_have_attribute("aria-pressed", "true")
    assert queries == []
    page.get_by_role("button", name="New query").click()
    expect(page.get_by_role("heading", name="Drop a picture of a vehicle here")).to_be_visible()


def test_a_late_answer_never_overwrites_a_later_query(page: Page, gallery: QueryGallery) -> None:
    held = list[Route]()

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/query", hold_the_first)
    first, second = gallery.vehicles[6], gallery.vehicles[7]
    page.goto(record_address(first))
    expect(page.get_by_text("Searching …")).to_be_visible()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/query")):
        page.goto(record_address(second))
    expect(page.get_by_role("heading", name=second.identity)).to_be_visible()
    expect(matches(page)).to_have_count(10)
    before = _names(page)
    held[0].continue_()
    page.evaluate("fetch('readyz').then((response) => response.text())")  # an answer that came after it
    assert _names(page) == before


def test_two_hundred_matches_are_drawn_in_their_order(page: Page, gallery: QueryGallery) -> None:
    page.goto(record_address(gallery.vehicles[0]))
    expect(matches(page)).to_have_count(10)
    page.get_by_role("button", name="200", exact=True).click()
    expect(matches(page)).to_have_count(200)
    shown = [float(text.split()[1]) for text in page.get_by_text(re.compile(r"^distance \d")).all_text_contents()]
    assert len(shown) == 200
    assert shown == sorted(shown)
    # Only pictures near to what is seen are asked for; the last come when one goes there.
    last = matches(page).last
    expect(last.locator("img")).to_have_count(0)
    last.scroll_into_view_if_needed()
    expect(last.locator("img")).to_have_count(2)


def test_a_match_is_opened_compared_and_searched_for(page: Page, service: LiveService, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[0]
    page.goto(record_address(vehicle))
    page.get_by_role("button", name="Match 2:").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Match 2 of 10")
    for name in ("The query, aligned", "The match, aligned", "The match", "The whole image that the match is from"):
        expect(dialog.get_by_role("img", name=name).first).to_be_visible()
    slider = dialog.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0 % query, 100 % match")
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "100 % query, 0 % match")
    dialog.get_by_role("button", name="Previous match").click()
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Match 1 of 10")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Match 3 of 10")
    answer = ask(service, record=vehicle.id)
    dialog.get_by_role("link", name="Search for this one").click()
    expect(dialog).to_have_count(0)
    expect(page).to_have_url(re.compile(f"record={answer['matches'][2]['id']}"))
    expect(matches(page)).to_have_count(10)


def test_the_box_is_drawn_where_the_record_says(page: Page, service: LiveService, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[8]
    page.goto("/#/query")
    choose(page, vehicle.crop)
    page.get_by_role("button", name="Match 1:").click()
    frame = page.locator(".frame-picture")
    drawn = frame.locator("rect").last.bounding_box()
    image = frame.locator("img").bounding_box()
    assert drawn
    assert image
    width, height = decode_image(gallery.frame.read_bytes()).pixels.shape[1::-1]
    scale = min(image["width"] / width, image["height"] / height)
    left = image["x"] + (image["width"] - scale * width) / 2
    assert drawn["x"] - left == pytest.approx(scale * vehicle.box[0], abs=4)
    assert drawn["width"] == pytest.approx(scale * vehicle.box[2], abs=8)


def test_matches_are_judged_by_keys_and_exported(page: Page, service: LiveService, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[9]
    answer = ask(service, record=vehicle.id)
    formula = answer["matches"][3]
    service.client.patch(f"/gallery/{formula['id']}", json={"identity": "=2+5"})
    page.goto(record_address(vehicle))
    first = page.get_by_role("button", name="Match 1:")
    first.focus()
    page.keyboard.press("r")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    page.keyboard.press("r")  # taken back
    expect(page.get_by_text("1 right, 1 wrong")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert list(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == [match["id"] for match in answer["matches"]]
    assert [row["judgement"] for row in rows] == ["right", "wrong"] + 8 * [""]
    assert [float(row["distance"]) for row in rows] == [match["distance"] for match in answer["matches"]]
    assert rows[3]["identity"] == "'=2+5"
    assert rows[0]["source"] == answer["matches"][0]["source"]
    assert rows[0]["captured_at"] == answer["matches"][0]["captured_at"]
    service.client.patch(f"/gallery/{formula['id']}", json={"identity": formula["identity"]})


def test_the_picture_has_the_query_and_ten_framed_matches(
    page: Page, service: LiveService, gallery: QueryGallery
) -> None:
    vehicle = gallery.vehicles[10]
    page.goto(record_address(vehicle))
    expect(matches(page)).to_have_count(10)
    page.get_by_role("button", name="Wrong: match 2").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture").click()
    pixels = decode_image(Path(download.value.path()).read_bytes()).pixels
    assert pixels.shape[:2] == (12 + 160 + 30 + 12, 12 + 160 + 36 + 10 * (160 + 12))
    # Frames: blue around the query; by judgement, else by whether the record has the query's identity.
    found = ask(service, record=vehicle.id)["matches"]
    frames = [pixels[12 + 2, 12 + 160 + 36 + index * 172 + 80] for index in range(10)]
    assert pixels[14, 12 + 80].tolist() == [0x1F, 0x5F, 0xD0]
    for index, (match, colour) in enumerate(zip(found, frames, strict=True)):
        is_right = match["identity"] == vehicle.identity and index != 1
        assert colour.tolist() == ([0x18, 0xA0, 0x58] if is_right else [0xD9, 0x30, 0x25]), index


def test_an_identity_is_assigned(page: Page, service: LiveService, gallery: QueryGallery) -> None:
    vehicle = gallery.vehicles[11]
    match = ask(service, record=vehicle.id)["matches"][1]
    page.goto(record_address(vehicle))
    page.get_by_role("button", name="Match 2:").focus()
    page.keyboard.press("i")
    dialog = page.get_by_role("dialog", name="Identity of match 2")
    field = dialog.get_by_label("Which vehicle is it?")
    expect(field).to_have_value(match["identity"])
    field.fill("van 7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Match 2 is van 7 now.")).to_be_visible()
    expect(matches(page).nth(1)).to_contain_text("van 7")
    assert service.client.get(f"/gallery/{match['id']}").json()["identity"] == "van 7"
    # Without the permission nothing is changed, and the dialog says so.
    refusal = {"type": "urn:sanet:problem:scope-needed", "title": "Scope needed", "detail": "the key may only read"}
    page.route(
        f"**/gallery/{match['id']}",
        lambda route: (
            route.fulfill(status=403, content_type="application/problem+json", body=json.dumps(refusal))
            if route.request.method == "PATCH"
            else route.continue_()
        ),
    )
    page.get_by_role("button", name="Identity of match 2").click()
    field.fill("van 8")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This key may not do that")
    service.client.patch(f"/gallery/{match['id']}", json={"identity": match["identity"]})


def test_reranked_matches_are_not_called_anything(page: Page, gallery: QueryGallery) -> None:
    page.goto(f"{record_address(gallery.vehicles[0])}&rerank=k_reciprocal")
    expect(page.get_by_role("heading", name="Nobody can say whether the first is right")).to_be_visible()
    expect(page.get_by_text("which alone was calibrated")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Re-rank by shared neighbours")).to_be_checked()


def test_conditions_that_no_record_passes_are_said(page: Page, gallery: QueryGallery) -> None:
    page.goto(f"{record_address(gallery.vehicles[0])}&camera=elsewhere")
    expect(page.get_by_role("heading", name="Nothing to compare with")).to_be_visible()
    expect(page.get_by_text("No record passes the conditions")).to_be_visible()
    expect(page.get_by_role("button", name="CSV")).to_have_count(0)


def test_the_keyboard_alone_leads_to_an_opened_match(page: Page, gallery: QueryGallery) -> None:
    # Listened for from the start: a chooser that opens before somebody listens is closed by the browser.
    page.on("filechooser", lambda chooser: chooser.set_files(gallery.vehicles[3].crop))
    page.goto("/")
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    tab_to(page, "Choose a file")
    page.keyboard.press("Enter")
    expect(matches(page)).to_have_count(10)
    tab_to(page, "Match 1:")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Match 2 of 10")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Match 2:")).to_be_focused()


def test_axe_finds_nothing(page: Page, gallery: QueryGallery) -> None:
    page.goto("/")
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    page.get_by_text("Conditions", exact=True).click()
    page.get_by_text("More", exact=True).click()
    assert violations(page) == []
    choose(page, gallery.vehicles[0].crop)
    expect(matches(page).first.locator("img")).to_have_count(2)
    page.get_by_role("button", name="Right: match 1", exact=True).click()
    page.get_by_role("button", name="Wrong: match 2").click()
    assert violations(page) == []
    page.get_by_role("button", name="Match 2:").click()
    expect(page.get_by_role("img", name="The whole image that the match is from")).to_be_visible()
    assert violations(page) == []


def test_a_phone_needs_no_scrolling_sideways(page: Page, gallery: QueryGallery) -> None:
    page.set_viewport_size(PHONE)
    page.goto("/")
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    page.get_by_text("Conditions", exact=True).click()
    page.get_by_text("More", exact=True).click()
    assert overhang(page) <= 0
    choose(page, gallery.vehicles[0].crop)
    expect(matches(page)).to_have_count(10)
    assert overhang(page) <= 0
    page.get_by_role("button", name="Match 1:").click()
    expect(page.get_by_role("img", name="The whole image that the match is from")).to_be_visible()
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("(element) => element.scrollWidth - element.clientWidth") <= 0
