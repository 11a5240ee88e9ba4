"""The gallery in a real browser: browsing, editing, deleting, enrolling."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from benchmarks.live_service import LiveService
from service.settings import shipped_checkpoint
from tests.service.page.accessibility import PHONE, overhang, violations
from tests.service.page.conftest import WAIT_MS
from tests.service.page.drawn_vehicles import drawn_vehicles, enrol

expect.set_options(timeout=WAIT_MS)

NUM_GATE, NUM_BRIDGE, NUM_YARD = 50, 15, 6
BRIDGE = [(52.5162, 13.3777), (52.5162, 13.3778), (52.5310, 13.3712)]


@pytest.fixture(scope="module")
def gallery(service: LiveService) -> dict[str, list[str]]:
    """The ids of the records by camera: two pages of them; those of the bridge have places, those of the yard a tag."""
    paths = drawn_vehicles(shipped_checkpoint().parent)
    fields: list[dict[str, Any]] = [
        {"camera": "gate", "identity": f"car {n // 2}", "captured_at": f"2026-03-01T10:{n:02d}:00Z"}
        for n in range(NUM_GATE)
    ]
    for n in range(NUM_BRIDGE):
        latitude, longitude = BRIDGE[n % len(BRIDGE)]
        fields.append({"camera": "bridge", "latitude": latitude, "longitude": longitude})
    fields += [{"camera": "yard", "tags": ["night"], "attributes": {"colour": "red"}} for _ in range(NUM_YARD)]
    ids = enrol(service, paths[: len(fields)], fields)
    return {"gate": ids[:NUM_GATE], "bridge": ids[NUM_GATE : NUM_GATE + NUM_BRIDGE], "yard": ids[-NUM_YARD:]}


def cards(page: Page) -> Locator:
    """The records that are shown."""
    return page.get_by_role("list", name="Records").get_by_role("listitem")


def record(service: LiveService, id_: str) -> dict[str, Any]:
    """What the service has."""
    answer = service.client.get(f"/gallery/{id_}")
    assert answer.status_code == 200, answer.text
    fields: dict[str, Any] = answer.json()
    return fields


def num_records(service: LiveService, **conditions: str) -> int:
    """How many records pass."""
    total: int = service.client.get("/gallery", params={**conditions, "limit": "1"}).json()["total"]
    return total


def test_pages_and_totals(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery")
    expect(page.get_by_role("heading", name="Gallery", level=1)).to_be_visible()
    totals = page.get_by_label("The whole gallery")
    total = NUM_GATE + NUM_BRIDGE + NUM_YARD
    expect(totals).to_contain_text(f"Records{total}")
    expect(totals).to_contain_text(f"Identities{NUM_GATE // 2}")
    expect(totals).to_contain_text("Cameras3")
    expect(totals).to_contain_text("Damaged0")
    expect(cards(page)).to_have_count(60)
    expect(page.get_by_text(f"1–60 of {total}")).to_be_visible()
    expect(cards(page).first.locator("img")).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    expect(cards(page)).to_have_count(total - 60)
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.get_by_role("button", name="Previous page").click()
    expect(cards(page)).to_have_count(60)


def test_bars_and_the_form_filter_and_the_address_keeps_it(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery")
    statistics = page.get_by_role("complementary", name="Statistics")
    statistics.get_by_role("button", name=re.compile("^bridge")).click()
    expect(cards(page)).to_have_count(NUM_BRIDGE)
    assert page.url.endswith("#/gallery?camera=bridge")
    page.reload()
    expect(cards(page)).to_have_count(NUM_BRIDGE)
    page.get_by_role("button", name="Take off camera bridge").click()
    expect(cards(page)).to_have_count(60)
    page.get_by_role("button", name="Filters").click()
    form = page.get_by_role("form", name="Filters")
    form.get_by_label("Tags").fill("night")
    form.get_by_label("Attributes").fill("colour:red")
    form.get_by_role("button", name="Apply").click()
    expect(cards(page)).to_have_count(NUM_YARD)
    form.get_by_label("Tags").fill("day")
    form.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("No record passes these conditions")).to_be_visible()


def test_what_the_service_refuses_is_said(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery?near=here")
    expect(page.get_by_role("alert")).to_contain_text("near is lat,lon,radius_m")


def test_an_address_may_say_anything(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery?captured_after=2026-05-01T12:00:00+01:00")  # its plus is a space
    expect(page.get_by_role("alert")).to_contain_text("captured_after")
    expect(page.get_by_role("list", name="Conditions")).to_contain_text("from 2026-05-01T12:00:00 01:00")
    page.get_by_role("button", name="Filters").click()
    expect(page.get_by_label("Captured from")).to_have_value("")
    page.goto("/#/gallery?constructor=1&camera=yard&__proto__=2")
    expect(cards(page)).to_have_count(NUM_YARD)
    page.goto("/#/jobs/50%")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto("/#/gallery/%E0%A4%A?camera=yard")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.goto("/#/constructor")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_what_has_a_comma_stays_one(
    page: Page, service: LiveService, gallery: dict[str, list[str]], demo: Path
) -> None:
    fields = {"camera": "Gate, north", "tags": ["wet, dark", 'the "old" one']}
    (id_,) = enrol(service, drawn_vehicles(demo, image=1)[20:21], [fields])
    page.goto("/#/gallery")
    page.get_by_role("button", name="Filters").click()
    form = page.get_by_role("form", name="Filters")
    statistics = page.get_by_role("complementary", name="Statistics")
    statistics.get_by_role("button", name=re.compile("^Gate, north")).click()
    expect(cards(page)).to_have_count(1)
    expect(form.get_by_label("Camera")).to_have_value('"Gate, north"')
    form.get_by_label("Camera").fill('"Gate, north", yard')
    form.get_by_role("button", name="Apply").click()
    expect(cards(page)).to_have_count(1 + NUM_YARD)
    form.get_by_label("Tags").fill('the "old" one, "wet, dark"')
    form.get_by_role("button", name="Apply").click()
    expect(cards(page)).to_have_count(1)
    cards(page).first.get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tags").fill(dialog.get_by_label("Tags").input_value() + ", new")
    dialog.get_by_role("button", name="Save changes").click()
    expect(dialog.get_by_text("Saved")).to_be_visible()
    assert set(record(service, id_)["tags"]) == {"wet, dark", 'the "old" one', "new"}
    assert service.client.delete(f"/gallery/{id_}").status_code == 204


def test_pictures_that_failed_come_when_the_service_is_back(page: Page, gallery: dict[str, list[str]]) -> None:
    page.route("**/image", lambda route: route.abort("connectionrefused"))
    page.goto("/#/gallery?camera=yard")
    expect(cards(page).first).to_contain_text("Not available")
    page.unroute("**/image")
    expect(cards(page).first.locator("img")).to_be_visible()
    expect(cards(page).first).not_to_contain_text("Not available")


def test_a_key_that_cannot_be_one_is_refused(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery?camera=yard")
    page.get_by_role("button", name="Enter an API key").click()
    dialog = page.get_by_role("dialog")
    for wrong in ("schlüssel", "ключ", "two words"):
        dialog.get_by_label("Key").fill(wrong)
        expect(dialog.get_by_role("alert")).to_contain_text("English keyboard")
        expect(dialog.get_by_role("button", name="Use this key")).to_be_disabled()
    page.evaluate("sessionStorage.setItem('sanet-key', 'ключ')")
    page.reload()
    expect(cards(page)).to_have_count(NUM_YARD)


def test_a_map_of_the_places_filters(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery")
    page.get_by_role("button", name="Map").click()
    places = page.get_by_role("region", name="Map")
    expect(places).to_contain_text(f"{NUM_BRIDGE} records with a place, of {NUM_GATE + NUM_BRIDGE + NUM_YARD}")
    # Two places lie seven metres apart, the third 1.7 km.
    expect(places.get_by_role("button")).to_have_count(2)
    places.get_by_role("button", name=re.compile("^10 records at")).click()
    expect(cards(page)).to_have_count(10)
    expect(page.get_by_role("list", name="Conditions")).to_contain_text("near 52.5162")
    expect(places.get_by_role("button").first).to_be_visible()


def test_a_record_is_edited(page: Page, service: LiveService, gallery: dict[str, list[str]]) -> None:
    id_ = gallery["yard"][0]
    page.goto("/#/gallery?camera=yard")
    cards(page).first.get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="The vehicle", exact=True)).to_be_visible()
    expect(dialog.get_by_role("img", name="The vehicle as the network turned it")).to_be_visible()
    expect(dialog.get_by_role("img", name=re.compile("^The whole file"))).to_be_visible()
    expect(dialog.get_by_role("link", name="Search for this one")).to_have_attribute("href", f"#/query?record={id_}")
    save = dialog.get_by_role("button", name="Save changes")
    expect(save).to_be_disabled()
    dialog.get_by_label("Identity").fill("van 7")
    dialog.get_by_label("Captured at").fill("2026-04-05T06:07:08")
    dialog.get_by_label("Latitude").fill("52.5")
    dialog.get_by_label("Longitude").fill("-13.25")
    dialog.get_by_label("Tags").fill("night, rain")
    dialog.get_by_label("Value of colour").fill("blue")
    dialog.get_by_role("button", name="Add an attribute").click()
    dialog.get_by_label("Attribute", exact=True).last.fill("doors")
    dialog.get_by_label("Value of doors").fill("4")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        save.click()
    expect(page.get_by_text("Saved")).to_be_visible()
    assert set(sent.value.post_data_json or {}) == {
        "identity", "captured_at", "latitude", "longitude", "tags", "attributes",
    }  # fmt: skip
    now = record(service, id_)
    assert (now["identity"], now["latitude"], now["longitude"]) == ("van 7", 52.5, -13.25)
    assert (now["tags"], now["attributes"]) == (["night", "rain"], {"colour": "blue", "doors": "4"})
    moment = page.evaluate("new Date('2026-04-05T06:07:08').toISOString()")
    assert now["captured_at"] == moment.replace(".000Z", "Z")
    assert now["camera"] == "yard"
    # A field that is emptied is cleared, and what cannot be is said beside the form.
    dialog.get_by_label("Identity").fill("")
    dialog.get_by_label("Latitude").fill("")
    save.click()
    expect(dialog.get_by_role("alert")).to_contain_text("latitude")
    assert record(service, id_)["identity"] == "van 7"
    dialog.get_by_label("Longitude").fill("")
    save.click()
    expect(page.get_by_role("dialog", name="Record without identity")).to_be_visible()
    now = record(service, id_)
    assert (now["identity"], now["latitude"], now["longitude"]) == (None, None, None)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert page.url.endswith("#/gallery?camera=yard")


def test_what_others_changed_is_no_change_of_the_form(
    page: Page, service: LiveService, gallery: dict[str, list[str]]
) -> None:
    id_ = gallery["yard"][2]
    page.goto(f"/#/gallery/{id_}")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Identity").fill("van 8")
    answer = service.client.patch(f"/gallery/{id_}", json={"source": "theirs.jpg"})
    assert answer.status_code == 200, answer.text
    page.context.set_offline(True)
    dialog.get_by_role("button", name="Save changes").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The service does not answer")
    with page.expect_response(lambda response: response.url.endswith(f"/gallery/{id_}")):
        page.context.set_offline(False)
    expect(dialog.get_by_role("img", name=re.compile("theirs.jpg"))).to_be_visible()
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        dialog.get_by_role("button", name="Save changes").click()
    expect(dialog.get_by_text("Saved")).to_be_visible()
    assert sent.value.post_data_json == {"identity": "van 8"}
    assert record(service, id_)["source"] == "theirs.jpg"
    expect(dialog.get_by_label("Source")).to_have_value("theirs.jpg")
    assert service.client.patch(f"/gallery/{id_}", json={"identity": None}).status_code == 200


def test_a_record_is_deleted_and_brought_back(page: Page, service: LiveService, gallery: dict[str, list[str]]) -> None:
    id_ = gallery["yard"][1]
    page.goto(f"/#/gallery/{id_}")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the record").click()
    expect(page.get_by_text("1 record deleted")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert service.client.get(f"/gallery/{id_}").status_code == 404
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("1 record back")).to_be_visible()
    assert record(service, id_)["camera"] == "yard"
    page.goto("/#/gallery/00000000000000000000000000000000")
    expect(page.get_by_text("This record is not in the gallery")).to_be_visible()


def test_several_are_given_an_identity(page: Page, service: LiveService, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery?camera=bridge")
    expect(cards(page)).to_have_count(NUM_BRIDGE)
    cards(page).nth(2).get_by_role("checkbox").click()
    cards(page).nth(6).get_by_role("checkbox").click(modifiers=["Shift"])
    cards(page).nth(4).get_by_role("checkbox").click()
    bar = page.get_by_role("region", name="Selected records")
    expect(bar).to_contain_text("4 selected")
    bar.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog", name="Edit 4 records")
    dialog.get_by_label("Identity", exact=True).fill("bus 9")
    dialog.get_by_role("button", name="Change 4 records").click()
    expect(page.get_by_text("4 records changed")).to_be_visible()
    expect(bar).to_have_count(0)
    listed = service.client.get("/gallery", params={"identity": "bus 9"}).json()["records"]
    named = [record["id"] for record in listed]
    assert named == [gallery["bridge"][n] for n in (2, 3, 5, 6)]
    # Merge: all of one identity get another, whatever their camera.
    page.goto("/#/gallery?identity=bus%209")
    expect(cards(page)).to_have_count(4)
    cards(page).first.get_by_role("checkbox").click()
    bar.get_by_role("button", name="Select all 4 that pass").click()
    bar.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Identity", exact=True).fill("bus 10")
    page.get_by_role("button", name="Change 4 records").click()
    expect(page.get_by_text("No record passes these conditions")).to_be_visible()
    assert num_records(service, identity="bus 10") == 4


def test_all_that_pass_are_deleted_only_as_they_were_seen(
    page: Page, service: LiveService, gallery: dict[str, list[str]], demo: Path
) -> None:
    paths = drawn_vehicles(demo, image=1)
    ids = enrol(service, paths[:3], [{"camera": "lot"}] * 3)
    page.goto("/#/gallery?camera=lot")
    expect(cards(page)).to_have_count(3)
    cards(page).first.get_by_role("checkbox").click()
    bar = page.get_by_role("region", name="Selected records")
    bar.get_by_role("button", name="Select all 3 that pass").click()
    expect(bar).to_contain_text("3 selected")
    ids += enrol(service, paths[3:4], [{"camera": "lot"}])  # somebody else, meanwhile
    bar.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete 3 records").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The gallery has changed meanwhile")
    assert num_records(service, camera="lot") == 4
    dialog.get_by_role("button", name="Cancel").click()
    expect(cards(page)).to_have_count(4)
    bar.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete 4 records").click()
    expect(page.get_by_text("4 records deleted")).to_be_visible()
    assert num_records(service, camera="lot") == 0
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("button", name="Deleted lately").click()
    lately = page.get_by_role("dialog", name="Deleted lately")
    lately.get_by_role("listitem").filter(has_text="4 records").get_by_role("button", name="Undo").click()
    expect(page.get_by_text("4 records back")).to_be_visible()
    assert num_records(service, camera="lot") == 4
    assert service.client.delete("/gallery", params={"camera": "lot", "expected": 4}).status_code == 200


def test_selected_records_that_are_gone_meanwhile_are_left_out(
    page: Page, service: LiveService, gallery: dict[str, list[str]], demo: Path
) -> None:
    ids = enrol(service, drawn_vehicles(demo, image=1)[10:13], [{"camera": "quay"}] * 3)
    page.goto("/#/gallery?camera=quay")
    expect(cards(page)).to_have_count(3)
    for card in cards(page).all():
        card.get_by_role("checkbox").click()
    assert service.client.delete(f"/gallery/{ids[1]}").status_code == 204
    page.get_by_role("region", name="Selected records").get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Camera", exact=True).fill("pier")
    dialog.get_by_role("button", name="Change 3 records").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The gallery has changed meanwhile")
    assert num_records(service, camera="quay") == 2
    dialog.get_by_role("button", name="Change 2 records").click()
    expect(page.get_by_text("2 records changed")).to_be_visible()
    assert num_records(service, camera="pier") == 2


def test_sixty_files_are_enrolled_and_two_bad_ones_named(
    page: Page, service: LiveService, gallery: dict[str, list[str]], demo: Path, tmp_path: Path
) -> None:
    before = num_records(service)
    known, *new = drawn_vehicles(demo)[NUM_GATE + NUM_BRIDGE + NUM_YARD - 1 :][:58]
    files = [known, *new]
    for number, path in enumerate(files):
        files[number] = tmp_path / f"{path.parent.name}.jpg"
        files[number].write_bytes(path.read_bytes())
    (tmp_path / "torn.jpg").write_bytes(new[0].read_bytes()[:300])
    (tmp_path / "=letter.jpg").write_text("Dear Sir or Madam")
    files[20:20] = [tmp_path / "torn.jpg"]
    files[40:40] = [tmp_path / "=letter.jpg"]
    page.goto("/#/gallery")
    page.get_by_role("button", name="Enrol files").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Files to enrol").set_input_files(files)
    expect(dialog.get_by_text("60 files").first).to_be_visible()
    dialog.get_by_label("Camera").fill("flight")
    dialog.get_by_label("Captured at").fill("2026-05-06T07:08:09")
    requests = list[Request]()
    page.on("request", lambda request: requests.append(request))
    dialog.get_by_role("button", name="Enrol 60 files").click()
    expect(dialog.get_by_text("60 of 60 files are done")).to_be_visible()
    assert [request.method for request in requests].count("POST") == 4  # of sixteen files at most
    result = dialog.get_by_label("What came of it")
    expect(result).to_contain_text("Enrolled57")
    expect(result).to_contain_text("There already1")
    expect(result).to_contain_text("Rejected2")
    rows = dialog.get_by_role("row")
    expect(rows.filter(has_text="torn.jpg")).to_contain_text("Rejected")
    expect(rows.filter(has_text="=letter.jpg")).to_contain_text("Rejected")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="List as CSV").click()
    with download.value.path().open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["filename", "status", "id", "detail", "warnings"]
    status_of = {line[0].removeprefix("'"): line[1] for line in lines}
    assert status_of["torn.jpg"] == status_of["=letter.jpg"] == "rejected"
    assert status_of[files[0].name] == "duplicate"
    assert "'=letter.jpg" in [line[0] for line in lines]  # no spreadsheet runs it
    dialog.get_by_role("button", name="Done").click()
    assert num_records(service, camera="flight") == 57
    assert num_records(service) == before + 57
    expect(page.get_by_label("The whole gallery")).to_contain_text(f"Records{before + 57}")


def test_enrolling_goes_on_after_the_service_was_away(
    page: Page, service: LiveService, gallery: dict[str, list[str]], demo: Path
) -> None:
    away = list[Route]()

    def lose_the_second(route: Route) -> None:
        if route.request.method == "POST":
            away.append(route)
            if len(away) == 2:
                return route.abort("connectionrefused")
        return route.continue_()

    page.route("**/gallery", lose_the_second)
    page.goto("/#/gallery")
    page.get_by_role("button", name="Enrol files").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Files to enrol").set_input_files(drawn_vehicles(demo, image=2)[:20])
    dialog.get_by_label("Camera").fill("after the storm")
    dialog.get_by_role("button", name="Enrol 20 files").click()
    expect(dialog.get_by_text("20 of 20 files are done")).to_be_visible()
    expect(dialog.get_by_label("What came of it")).to_contain_text("Enrolled20")
    assert len(away) == 3
    assert num_records(service, camera="after the storm") == 20


def test_what_was_done_before_a_proxy_gave_up_is_there_already(
    page: Page, service: LiveService, gallery: dict[str, list[str]], demo: Path
) -> None:
    paths = drawn_vehicles(demo, image=2)[30:33]
    posts = list[Route]()

    def give_up_on_the_first(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        posts.append(route)
        if len(posts) > 1:
            return route.continue_()
        enrol(service, paths, [{"camera": "behind a proxy", "source": path.name} for path in paths])
        return route.fulfill(status=504, body="Gateway Time-out")

    page.route("**/gallery", give_up_on_the_first)
    page.goto("/#/gallery")
    page.get_by_role("button", name="Enrol files").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Files to enrol").dispatch_event("cancel", {"bubbles": True})  # chose none: it stays open
    dialog.get_by_label("Files to enrol").set_input_files(paths)
    dialog.get_by_label("Camera").fill("behind a proxy")
    dialog.get_by_role("button", name="Enrol 3 files").click()
    expect(dialog.get_by_text("3 of 3 files are done")).to_be_visible()
    expect(dialog.get_by_label("What came of it")).to_contain_text("There already3")
    expect(dialog.get_by_role("row").last).to_contain_text("already enrolled; perhaps by the request before")
    assert num_records(service, camera="behind a proxy") == 3


def test_files_are_dropped_and_cancelled(page: Page, service: LiveService, gallery: dict[str, list[str]]) -> None:
    before = num_records(service)
    page.goto("/#/gallery")
    page.get_by_role("button", name="Enrol files").first.click()
    dialog = page.get_by_role("dialog")
    dropped = page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer();
          for (let n = 0; n < 40; n++) transfer.items.add(new File(["no picture"], `${n}.jpg`));
          return transfer;
        }"""
    )
    dialog.get_by_label("Files to enrol").dispatch_event("drop", {"dataTransfer": dropped})
    expect(dialog.get_by_text("40 files").first).to_be_visible()
    dialog.get_by_label("Latitude").fill("52.5")
    dialog.get_by_role("button", name="Enrol 40 files").click()
    expect(dialog.get_by_role("alert")).to_contain_text("longitude")
    dialog.get_by_role("button", name="Change what was entered").click()
    dialog.get_by_label("Longitude").fill("13.4")
    held = list[Route]()
    page.route("**/gallery", lambda route: held.append(route))
    with page.expect_request(lambda request: request.method == "POST"):
        dialog.get_by_role("button", name="Enrol 40 files").click()
    expect(dialog.get_by_text("0 of 40 files are done")).to_be_visible()
    dialog.get_by_role("button", name="Cancel the rest").click()
    expect(dialog.get_by_text("40 files were not enrolled")).to_be_visible()
    page.unroute("**/gallery")
    dialog.get_by_role("button", name="Done").click()
    assert num_records(service) == before


def test_the_keyboard_alone_selects_opens_and_closes(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery?camera=yard")
    expect(cards(page)).to_have_count(NUM_YARD)
    links = page.get_by_role("list", name="Records").get_by_role("link")
    for _ in range(60):
        if links.first.evaluate("link => link === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(links.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("End")
    page.keyboard.press("Shift+Space")
    expect(page.get_by_role("region", name="Selected records")).to_contain_text(f"{NUM_YARD - 1} selected")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(links.last).to_be_focused()


def test_accessible_in_light_and_dark(page: Page, gallery: dict[str, list[str]]) -> None:
    page.goto("/#/gallery?camera=bridge")
    page.get_by_role("button", name="Map").click()
    page.get_by_role("button", name="Filters").click()
    expect(page.get_by_role("region", name="Map").get_by_role("button").first).to_be_visible()
    cards(page).first.get_by_role("checkbox").click()
    expect(cards(page).first.locator("img").first).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Enrol files").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.goto(f"/#/gallery/{gallery['bridge'][0]}")
    expect(page.get_by_role("dialog").get_by_role("img", name="The vehicle", exact=True)).to_be_visible()
    assert violations(page) == []


def test_fits_a_phone(page: Page, gallery: dict[str, list[str]]) -> None:
    page.set_viewport_size(PHONE)
    page.goto("/#/gallery?camera=bridge")
    for name in ("Filters", "Statistics", "Map"):
        page.get_by_role("button", name=name).click()
    expect(page.get_by_role("region", name="Map").get_by_role("button").first).to_be_visible()
    cards(page).first.get_by_role("checkbox").click()
    expect(page.get_by_role("region", name="Selected records")).to_be_visible()
    assert overhang(page) == 0
    page.goto(f"/#/gallery/{gallery['bridge'][0]}")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="The vehicle", exact=True)).to_be_visible()
    assert dialog.evaluate("element => element.scrollWidth - element.clientWidth") == 0
