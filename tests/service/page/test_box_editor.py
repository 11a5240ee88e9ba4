"""Boxes on a whole frame: drawn, moved, resized and removed by mouse, fingers and keyboard, and then searched for."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect

from benchmarks.live_service import LiveService
from model.image import decode_image
from service.settings import shipped_checkpoint
from tests.conftest import picture
from tests.service.page.accessibility import PHONE, overhang, tab_to, violations
from tests.service.page.conftest import WAIT_MS
from tests.service.page.query_gallery import CELL_PX, NUM_COLUMNS, Drawn, QueryGallery, enrol_gallery
from tests.service.page.test_query import choose, matches

expect.set_options(timeout=WAIT_MS)

FRAME_WIDTH = CELL_PX * NUM_COLUMNS


@pytest.fixture(scope="module")
def gallery(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> QueryGallery:
    return enrol_gallery(service.client, shipped_checkpoint().parent, tmp_path_factory.mktemp("frame"), num_records=30)


# What the page sends: Playwright cannot read the body of a request that has a file in it. `lastBox` is sent in
# the place of the last box.
_RECORD_BOXES = """
  const send = window.fetch;
  window.fetch = (url, options) => {
    if (options?.body instanceof FormData) {
      window.sentBoxes = options.body.getAll("box");
      if (window.lastBox) {
        options.body.delete("box");
        for (const box of [...window.sentBoxes.slice(0, -1), window.lastBox]) options.body.append("box", box);
      }
    }
    return send(url, options);
  };
"""


@pytest.fixture(autouse=True)
def _recorded(page: Page) -> None:
    page.add_init_script(_RECORD_BOXES)


@pytest.fixture
def frame(page: Page, gallery: QueryGallery) -> FloatRect:
    """The frame is opened; where on the screen it lies, without the room beside it."""
    page.goto("/#/query")
    choose(page, gallery.frame)
    expect(page.get_by_text("This looks like a whole frame")).to_be_visible()
    return shown_area(page)


def shown_area(page: Page) -> FloatRect:
    area = page.locator(".editor-viewport img").bounding_box()
    assert area
    return area


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def draw(page: Page, frame: FloatRect, box: tuple[int, int, int, int]) -> None:
    """Draws a box, given in pixels of the image."""
    scale = frame["width"] / FRAME_WIDTH
    x, y, width, height = box
    left, top = frame["x"] + scale * x, frame["y"] + scale * y
    drag(page, (left, top), (left + scale * width, top + scale * height))


def boxes(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile(r"^Box \d+, "))


def area(box: Locator) -> tuple[int, ...]:
    """x, y, width and height, as the page tells a screen reader."""
    label = box.get_attribute("aria-label") or ""
    _, width, height, x, y = (int(number) for number in re.findall(r"\d+", label))
    return x, y, width, height


def search(page: Page, button: str) -> dict[str, Any]:
    """Presses the button; the fields that went out, and the answer that came back."""
    with page.expect_response(lambda response: response.url.endswith("/query")) as response:
        page.get_by_role("button", name=button).click()
    sent = page.evaluate("window.sentBoxes")
    return {"boxes": [tuple(map(int, box.split(","))) for box in sent], "answer": response.value.json()}


def test_a_box_is_drawn_and_searched_for(page: Page, gallery: QueryGallery, frame: FloatRect) -> None:
    vehicle = gallery.vehicles[7]
    draw(page, frame, vehicle.box)
    expect(boxes(page)).to_have_count(1)
    assert area(boxes(page)) == pytest.approx(vehicle.box, abs=3)
    found = search(page, "Search this box")
    assert found["boxes"] == [area(boxes(page))]
    expect(matches(page).first).to_contain_text(vehicle.identity)
    # Editing says that the answer is about what was there before.
    page.keyboard.press("ArrowRight")
    boxes(page).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("The boxes have changed since this answer.")).to_be_visible()


def test_a_box_is_moved_and_resized_by_the_mouse(page: Page, frame: FloatRect) -> None:
    draw(page, frame, (300, 200, 200, 160))
    before = area(boxes(page))
    scale = frame["width"] / FRAME_WIDTH
    middle = (frame["x"] + scale * 400, frame["y"] + scale * 280)
    drag(page, middle, (middle[0] + scale * 100, middle[1] + scale * 40))
    moved = area(boxes(page))
    assert moved == pytest.approx((before[0] + 100, before[1] + 40, before[2], before[3]), abs=3)
    assert moved[2:] == before[2:]
    corner = (frame["x"] + scale * (moved[0] + moved[2]), frame["y"] + scale * (moved[1] + moved[3]))
    drag(page, (corner[0] + 2, corner[1] + 2), (corner[0] + 2 + scale * 60, corner[1] + 2 + scale * 30))
    resized = area(boxes(page))
    assert resized[:2] == moved[:2]
    assert resized[2:] == pytest.approx((moved[2] + 60, moved[3] + 30), abs=3)
    # Beyond the edge of the image a box stops and keeps its size.
    drag(page, (corner[0] - 30, corner[1] - 30), (frame["x"] - 400, frame["y"] - 300))
    assert area(boxes(page)) == (0, 0, *resized[2:])
    page.get_by_role("button", name="Remove the selected box").click()
    expect(boxes(page)).to_have_count(0)


def test_boxes_are_made_by_the_keyboard_alone(page: Page, gallery: QueryGallery, frame: FloatRect) -> None:
    tab_to(page, "Add a box")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("n")
    expect(boxes(page)).to_be_focused()
    x, y, width, height = area(boxes(page))
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    step = (x - area(boxes(page))[0]) // 2
    assert step >= 1
    assert area(boxes(page)) == (x - 2 * step, y - step, width + step, height - step)
    page.keyboard.press("N")
    expect(boxes(page)).to_have_count(2)
    expect(boxes(page).last).to_be_focused()
    page.keyboard.press("Delete")
    expect(boxes(page)).to_have_count(1)
    expect(boxes(page)).to_be_focused()
    with page.expect_response(lambda response: response.url.endswith("/query")):
        page.keyboard.press("Enter")
    expect(matches(page)).to_have_count(10)


def test_several_boxes_have_answers_of_their_own(
    page: Page, service: LiveService, gallery: QueryGallery, frame: FloatRect
) -> None:
    asked = [gallery.vehicles[index] for index in (1, 8, 15)]
    for vehicle in asked:
        draw(page, frame, vehicle.box)
    found = search(page, "Search 3 boxes")
    assert [answer["box"] for answer in found["answer"]["answers"]] == [
        ",".join(map(str, box)) for box in found["boxes"]
    ]
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_count(3)
    for tab, vehicle in zip(tabs.all(), asked, strict=True):
        tab.click()
        expect(tab).to_contain_text(vehicle.identity)
        expect(matches(page).first).to_contain_text(vehicle.identity)
    page.keyboard.press("ArrowRight")
    expect(tabs.first).to_be_focused()
    expect(matches(page).first).to_contain_text(asked[0].identity)
    # A box that is touched shows its answer.
    boxes(page).nth(1).focus()
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Right: match 1", exact=True).click()
    _check_exports(page, asked, found["boxes"])


def _check_exports(page: Page, asked: list[Drawn], sent: list[tuple[int, ...]]) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["box"] for row in rows[::10]] == [",".join(map(str, box)) for box in sent]
    assert [row["identity"] for row in rows[::10]] == [vehicle.identity for vehicle in asked]
    assert [index for index, row in enumerate(rows) if row["judgement"]] == [10]
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture").click()
    assert decode_image(Path(download.value.path()).read_bytes()).pixels.shape[0] == 12 + 3 * (160 + 30 + 12)


def test_a_box_that_cannot_be_used_costs_no_other(page: Page, gallery: QueryGallery, frame: FloatRect) -> None:
    draw(page, frame, gallery.vehicles[7].box)
    draw(page, frame, gallery.vehicles[8].box)
    page.evaluate("window.lastBox = '5000,5000,40,40'")
    page.get_by_role("button", name="Search 2 boxes").click()
    expect(matches(page).first).to_contain_text(gallery.vehicles[7].identity)
    page.get_by_role("tab").nth(1).click()
    expect(page.get_by_role("alert")).to_contain_text("This box cannot be used: the box 5000,5000,40,40")


def test_a_frame_is_zoomed_and_drawn_on_where_it_is_seen(page: Page, gallery: QueryGallery, frame: FloatRect) -> None:
    vehicle = gallery.vehicles[7]
    expect(page.get_by_role("button", name="Zoom out")).to_be_disabled()
    page.mouse.move(frame["x"] + 5, frame["y"] + 5)
    page.mouse.wheel(0, -500)
    expect(page.get_by_role("button", name="Move the view")).to_be_visible()
    zoomed = shown_area(page)
    assert zoomed["width"] > 1.5 * frame["width"]
    draw(page, zoomed, vehicle.box)
    assert area(boxes(page)) == pytest.approx(vehicle.box, abs=3)
    page.get_by_role("button", name="Move the view").click()
    drag(page, (frame["x"] + 300, frame["y"] + 200), (frame["x"] + 200, frame["y"] + 150))
    panned = shown_area(page)
    assert (panned["x"], panned["y"]) == pytest.approx((zoomed["x"] - 100, zoomed["y"] - 50), abs=1)
    expect(boxes(page)).to_have_count(1)
    page.locator(".editor-viewport").focus()
    page.keyboard.press("0")
    expect(page.get_by_role("button", name="Zoom out")).to_be_disabled()


def test_one_finger_draws_and_two_zoom(page: Page, gallery: QueryGallery, frame: FloatRect) -> None:
    vehicle = gallery.vehicles[9]
    scale = frame["width"] / FRAME_WIDTH
    x, y, width, height = (scale * side for side in vehicle.box)
    left, top = frame["x"] + x, frame["y"] + y
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": px, "y": py, "id": index} for index, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    send("touchStart", (left, top))
    send("touchMove", (left + width / 2, top + height / 2))
    send("touchMove", (left + width, top + height))
    send("touchEnd")
    expect(boxes(page)).to_have_count(1)
    assert area(boxes(page)) == pytest.approx(vehicle.box, abs=4)
    middle = (frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    send("touchStart", (middle[0] - 40, middle[1]), (middle[0] + 40, middle[1]))
    send("touchMove", (middle[0] - 120, middle[1]), (middle[0] + 120, middle[1]))
    send("touchEnd")
    assert shown_area(page)["width"] == pytest.approx(3 * frame["width"], rel=0.05)
    expect(boxes(page)).to_have_count(1)


def test_boxes_are_in_pixels_of_the_upright_image(page: Page, gallery: QueryGallery, tmp_path: Path) -> None:
    # Stored lying down: EXIF orientation 6 turns it clockwise to 900 wide, 1,200 high.
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "turned.jpg"
    Image.fromarray(picture(3, 1200, 900)).save(file, exif=exif)
    page.goto("/#/query")
    choose(page, file)
    expect(page.get_by_text("This looks like a whole frame")).to_be_visible()
    frame = shown_area(page)
    assert frame["height"] / frame["width"] == pytest.approx(1200 / 900, rel=0.01)
    scale = frame["width"] / 900
    drag(
        page,
        (frame["x"] + 500 * scale, frame["y"] + 950 * scale),
        (frame["x"] + 700 * scale, frame["y"] + 1150 * scale),
    )
    assert area(boxes(page)) == pytest.approx((500, 950, 200, 200), abs=4)
    found = search(page, "Search this box")
    assert found["boxes"] == [area(boxes(page))]
    assert found["answer"]["warnings"] is not None  # an answer: on the image as stored it would lie outside


def test_the_editor_is_accessible_and_fits_a_phone(page: Page, gallery: QueryGallery, frame: FloatRect) -> None:
    for vehicle in gallery.vehicles[7:9]:
        draw(page, frame, vehicle.box)
    page.get_by_role("button", name="Zoom in").click()
    assert violations(page) == []
    page.get_by_role("button", name="Search 2 boxes").click()
    expect(page.get_by_role("tab")).to_have_count(2)
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert overhang(page) <= 0
