"""Quality: the evaluation and its curve, the decisions, how vehicles are turned, the model, the service now."""

import re
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from playwright.sync_api import Page, expect

from benchmarks.live_service import LiveService
from tests.service.page.accessibility import LARGE, PHONE, overhang, tab_to, violations
from tests.service.page.conftest import WAIT_MS

expect.set_options(timeout=WAIT_MS)

VEHICLES: Final = 14


@pytest.fixture(scope="module")
def records(service: LiveService, demo: Path) -> list[str]:
    """The ids of some drawn vehicles in the gallery."""
    images = sorted((demo / "images").glob("*/0.jpg"))[:VEHICLES]
    files = [("images", (f"{image.parent.name}.jpg", image.read_bytes(), "image/jpeg")) for image in images]
    answer = service.client.post("/gallery", files=files)
    assert answer.status_code == 201, answer.text
    return [one["id"] for one in answer.json()["results"]]


@pytest.fixture
def quality(page: Page, records: list[str]) -> Page:
    """The view, with all figures."""
    page.goto("/#/quality")
    expect(page.get_by_role("img", name=re.compile("^CMC curve"))).to_be_visible()
    return page


def metrics(service: LiveService) -> Any:
    return service.client.get("/metrics", headers={"Accept": "application/json"}).json()


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def test_an_evaluation_is_started_and_its_curve_is_drawn(quality: Page, service: LiveService) -> None:
    region = quality.get_by_role("region", name="How often the right vehicle comes first")
    first = metrics(service)
    assert service.client.get("/jobs?kind=evaluate").json()["total"] == 1
    region.get_by_role("button", name="Evaluate now").click()
    expect(region.locator(".chip")).to_have_text("Done")
    assert service.client.get("/jobs?kind=evaluate").json()["total"] == 2
    now = metrics(service)
    assert (now["cmc"], now["num_queries"]) == (first["cmc"], first["num_queries"])
    for name, value in (
        ("Rank 1", now["cmc"]["1"]),
        ("Rank 5", now["cmc"]["5"]),
        ("mAP", now["map"]),
        ("mINP", now["minp"]),
    ):
        tile = region.locator(".figure-tile").filter(has=quality.get_by_text(name, exact=True))
        expect(tile).to_contain_text(percent(value))
    low, high = now["intervals"]["cmc1"]
    expect(region.locator(".figure-tile.first")).to_contain_text(f"{percent(low)} – {percent(high)}")
    expect(region).to_contain_text(f"{now['num_queries']} queries for {now['num_query_identities']} vehicles")

    # The curve has a point for each rank, as high as its figure, and the interval at rank 1.
    curve = region.get_by_role("img", name=re.compile("^CMC curve"))
    heights = [float(dot.get_attribute("cy") or "nan") for dot in curve.locator("circle").all()]
    expected = [*now["cmc_curve"], *20 * [1.0]][:20]
    assert len(heights) == 20
    bottom, top = heights[0], heights[-1]
    for height, value in zip(heights, expected, strict=True):
        share = (value - expected[0]) / (expected[-1] - expected[0]) if expected[-1] > expected[0] else 0
        assert height == pytest.approx(bottom + share * (top - bottom), abs=0.1)
    expect(curve.locator(".chart-interval")).to_have_count(1)
    curve.hover(position={"x": 60, "y": 40})
    expect(region.locator("figcaption")).to_contain_text("Rank 1: share of queries")
    expect(region.locator("figcaption")).to_contain_text(percent(expected[0]))
    region.get_by_role("link", name="See the job").click()
    expect(quality.get_by_role("heading", level=1)).to_have_text("Evaluate: the held-out set")


def test_thresholds_are_those_of_the_calibration(quality: Page, service: LiveService) -> None:
    calibration = metrics(service)["calibration"]
    region = quality.get_by_role("region", name="When to believe rank 1")
    # The size that is nearest to this gallery is shown first.
    expect(region.get_by_role("button", name="10", exact=True)).to_have_attribute("aria-pressed", "true")
    for number in (10, 1000):
        region.get_by_role("button", name=f"{number:,}", exact=True).click()
        at = calibration["sizes"].index(number)
        measured = next(one for one in calibration["measured"]["sizes"] if one["num_records"] == number)
        for title, distances, decision in (
            ("Match", calibration["match_distance"], "match"),
            ("Match or uncertain", calibration["uncertain_distance"], "match_or_uncertain"),
        ):
            row = region.get_by_role("row").filter(has=quality.get_by_role("rowheader", name=title, exact=True))
            expect(row).to_contain_text(f"{distances[at]:.3f}")
            expect(row).to_contain_text(percent(measured["decisions"][decision]["true_accepts"]["share"]))
    expect(region).to_contain_text(f"{calibration['fitted_on']['num_vehicles']:,} vehicles")
    expect(region.get_by_role("img", name=re.compile("^Known vehicles found"))).to_be_visible()
    expect(region.get_by_role("img", name=re.compile("^How often rank 1 is right"))).to_be_visible()


def test_a_gallery_of_few_vehicles_cannot_be_calibrated_on(quality: Page, service: LiveService) -> None:
    region = quality.get_by_role("region", name="When to believe rank 1")
    region.get_by_role("button", name="Calibrate on my vehicles").click()
    dialog = quality.get_by_role("dialog")
    expect(dialog).to_contain_text("This gallery has 0 identities")
    dialog.get_by_role("button", name="Calibrate", exact=True).click()
    expect(region.get_by_role("alert")).to_contain_text("no record with an identity")
    assert metrics(service)["calibration"]["source"] == "checkpoint"


def test_a_calibration_of_ones_own_is_taken_back(quality: Page, service: LiveService) -> None:
    """Whether there is one is what the service says; here it is made to say so."""

    def own(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        body["calibration"]["source"] = "gallery"
        route.fulfill(response=answer, json=body)

    is_json = re.compile("/metrics$")
    quality.route(is_json, lambda route: own(route) if "json" in route.request.headers["accept"] else route.continue_())
    quality.reload()
    region = quality.get_by_role("region", name="When to believe rank 1")
    expect(region).to_contain_text("records of this gallery")
    with quality.expect_request(lambda request: request.method == "DELETE") as asked:
        region.get_by_role("button", name="Back to the model's own").click()
        quality.unroute_all()
        quality.get_by_role("dialog").get_by_role("button", name="Go back").click()
    assert asked.value.url.endswith("/model/calibration")
    # There was none to take back, and the page says what the service says.
    answer = service.client.delete("/model/calibration")
    expect(quality.get_by_role("dialog").get_by_role("alert")).to_contain_text(answer.json()["detail"])


def test_vehicles_are_shown_as_enrolled_and_as_turned(quality: Page, service: LiveService, records: list[str]) -> None:
    region = quality.get_by_role("region", name="How vehicles are turned")
    region.scroll_into_view_if_needed()
    pictures = region.get_by_role("img")
    expect(pictures).to_have_count(12)
    expect(region.locator("li")).to_have_count(6)
    shown = region.locator("li").first
    first = service.client.get(f"/gallery/{records[0]}").json()
    expect(shown).to_contain_text(first["source"])
    expect(shown).to_contain_text(f"{abs(round(first['rotation_deg']))}°")
    expect(pictures.first).to_have_js_property("complete", True)
    assert pictures.first.evaluate("image => image.naturalWidth") > 0
    names = set(region.locator(".truncate").all_inner_texts())
    region.get_by_role("button", name="Other examples").click()
    expect(region.locator(".truncate").first).not_to_have_text(first["source"])
    assert not names & set(region.locator(".truncate").all_inner_texts())


def test_the_model_card_names_the_model(quality: Page, service: LiveService) -> None:
    model = service.client.get("/model").json()
    region = quality.get_by_role("region", name="Model")
    expect(region).to_contain_text(f"{model['num_parameters']:,}")
    expect(region).to_contain_text(model["training"]["data"])
    quality.context.grant_permissions(["clipboard-read", "clipboard-write"])
    region.get_by_role("button", name="Copy the fingerprint").click()
    expect(quality.locator(".toast")).to_have_text(re.compile("Fingerprint copied"))
    assert quality.evaluate("navigator.clipboard.readText()") == model["fingerprint"]


def test_the_service_is_shown_live(quality: Page, service: LiveService, demo: Path) -> None:
    region = quality.get_by_role("region", name="Service now")
    tile = region.locator(".live-tile").filter(has=quality.get_by_text("Records", exact=True))
    expect(tile).to_contain_text(str(VEHICLES))
    # Two snapshots have been taken before the query comes, so that it falls into the last minute.
    requests = region.locator(".live-tile").filter(has=quality.get_by_text("Requests", exact=True))
    expect(requests).not_to_contain_text("…")
    image = next((demo / "images").glob("*/1.jpg"))
    service.client.post("/query", files={"image": image.read_bytes()}).raise_for_status()
    row = region.get_by_role("row").filter(has_text="Query: search")
    expect(row).to_contain_text("ms")


def test_quantiles_of_the_metrics_text(page: Page, service: LiveService) -> None:
    """The same as by hand, from the text that the service writes."""

    def text(counts: list[int]) -> str:
        bounds = ["0.1", "0.2", "0.4", "+Inf"]
        lines = [
            f'd_bucket{{le="{bound}",stage="a\\"b"}} {count}.0' for bound, count in zip(bounds, counts, strict=True)
        ]
        return "\n".join(["# TYPE d histogram", *lines, 'd_bucket{le="0.1",stage="other"} 99', "plain 1.5e+03"])

    page.goto("/")
    answer = page.evaluate(
        """async ([before, now]) => {
          const { parseText, quantile, total } = await import("./page/quality/prometheus_text.js");
          const [old, young] = [parseText(before), parseText(now)];
          const at = (share) => quantile(old, young, share, "d", { stage: 'a"b' });
          return [total(young, "plain"), at(0.25), at(0.5), at(0.95), at(1), quantile(old, old, 0.5, "d", {})];
        }""",
        [text([5, 5, 5, 5]), text([9, 13, 14, 15])],
    )
    # Ten values came in: 4 up to 0.1, 4 up to 0.2, 1 up to 0.4, 1 beyond.
    assert answer == [1500, pytest.approx(0.0625), pytest.approx(0.125), 0.4, 0.4, None]


def test_damage_is_said(page: Page, service: LiveService, folder: Path, records: list[str]) -> None:
    (content,) = {
        path for path in (folder / "data" / "images").glob("*/*") if _is_image_of(service.client, path, records[-1])
    }
    whole = content.read_bytes()
    try:
        content.unlink()
        assert service.client.get(f"/gallery/{records[-1]}/frame").status_code == 500
        page.goto("/#/quality")
        expect(page.get_by_role("alert")).to_contain_text("1 image file is missing or damaged")
        expect(page.get_by_role("alert").get_by_role("link")).to_have_attribute("href", "#/jobs/new/verify")
    finally:
        content.write_bytes(whole)


def _is_image_of(client: httpx2.Client, path: Path, record: str) -> bool:
    return path.read_bytes() == client.get(f"/gallery/{record}/frame").content


def test_everybody_can_read_it(quality: Page) -> None:
    """On a phone and on a large screen, by a screen reader and by keyboard, light and dark."""
    expect(quality.locator(".live-tile").first).to_be_visible()
    for size in (PHONE, LARGE):
        quality.set_viewport_size(size)
        assert overhang(quality) == 0
        assert violations(quality) == []
    for button in ("Evaluate now", "to 50", "Calibrate on my vehicles", "Other examples"):
        tab_to(quality, button)
    quality.keyboard.press("Enter")
    expect(quality.locator(".example").first).to_be_visible()
