"""The frame of all views: key, restart, overload, lost addresses, and what the first paint costs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from benchmarks.live_service import LiveService
from service.settings import shipped_checkpoint
from tests.service.page.accessibility import PHONE, overhang, tab_to, violations
from tests.service.page.conftest import WAIT_MS

expect.set_options(timeout=WAIT_MS)

MOST_FIRST_PAINT_BYTES: Final = 100_000


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    """A key of each scope, made as an administrator makes them."""
    data_dir = str(folder / "data")
    command = [sys.executable, "-m", "service.keys", "create", "--json", "--data-dir", data_dir]
    return {
        scope: json.loads(subprocess.check_output([*command, "--name", scope, "--scope", scope]))["key"]
        for scope in ("read", "admin")
    }


@pytest.fixture(scope="module")
def service(folder: Path, keys: dict[str, str]) -> Iterator[LiveService]:
    """Asks for keys, and has neither a held-out set nor a folder for exports."""
    service = LiveService(shipped_checkpoint(), folder / "data", import_root=str(folder / "import"), device="cpu")
    service.client.headers["Authorization"] = f"Bearer {keys['admin']}"
    with service:
        yield service


@pytest.fixture
def admin(page: Page, keys: dict[str, str]) -> Page:
    """A page whose key has been entered already."""
    page.goto("/")
    page.evaluate("key => sessionStorage.setItem('sanet-key', key)", keys["admin"])
    page.goto("about:blank")
    return page


def enter_key(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key").fill(key)
    dialog.get_by_role("button", name="Use this key").click()


def test_a_wrong_key_is_said_and_the_right_one_goes_on_by_itself(page: Page, keys: dict[str, str]) -> None:
    page.goto("/#/jobs")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_have_text("This service asks for a key.")
    assert violations(page) == []
    wrong = keys["admin"][:-4] + "AAAA"
    enter_key(page, wrong)
    expect(dialog.get_by_role("alert")).to_have_text("This key is not valid, or was revoked.")
    expect(dialog.get_by_label("Key")).to_have_value("")
    enter_key(page, f"  {keys['admin']} ")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="No job was started yet")).to_be_visible()
    # The tab keeps it, and nobody else: neither another tab nor the address.
    page.reload()
    expect(page.get_by_role("heading", name="No job was started yet")).to_be_visible()
    assert keys["admin"] not in page.url
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.get_by_role("button", name="API key: entered").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("This service asks for a key.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", name="A key is needed")).to_be_visible()
    page.get_by_role("button", name="Enter a key").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_key_that_only_reads_starts_no_job(page: Page, service: LiveService, keys: dict[str, str]) -> None:
    page.goto("/#/jobs/new/verify")
    page.get_by_role("button", name="Enter an API key").click()
    enter_key(page, keys["read"])
    page.get_by_role("button", name="Start: Verify").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This key may not do that")
    expect(alert).to_contain_text("admin")
    assert service.client.get("/jobs").json()["total"] == 0
    assert violations(page) == []


def test_what_is_not_configured_says_which_setting_is_missing(admin: Page) -> None:
    admin.goto("/#/jobs/new/backup")
    admin.get_by_label("Path").fill("monday")
    admin.get_by_role("button", name="Start: Backup").click()
    expect(admin.get_by_role("alert")).to_contain_text("SANET_EXPORT_ROOT")
    admin.goto("/#/quality")
    region = admin.get_by_role("region", name="How often the right vehicle comes first")
    expect(region).to_contain_text("SANET_HELDOUT")
    expect(region.get_by_role("button", name="Evaluate now")).to_have_count(0)
    expect(admin.get_by_role("heading", name="The gallery is empty")).to_be_visible()
    assert violations(admin) == []


def test_a_restart_under_the_open_page_loses_nothing(
    admin: Page, service: LiveService, folder: Path, demo: Path
) -> None:
    """A job that is watched goes on, and so does what was being typed."""
    images = sorted((demo / "images").glob("*/*.jpg"))[:20]
    (folder / "import" / "flight").mkdir()
    for number, image in enumerate(images):
        shutil.copyfile(image, folder / "import" / "flight" / f"{number}.jpg")
    admin.goto("/#/jobs/new/import")
    admin.get_by_label("Path").fill("flight")
    admin.get_by_role("button", name="Start: Import").click()
    expect(admin.get_by_role("heading", level=1)).to_have_text("Import: flight")

    typing = admin.context.new_page()
    typing.goto("/")
    typing.evaluate("key => sessionStorage.setItem('sanet-key', key)", service.client.headers["Authorization"][7:])
    typing.goto("/#/jobs/new/import")
    typing.reload()
    typing.get_by_label("Path").fill("flight")
    service.kill()
    typing.get_by_role("button", name="Start: Import").click()
    expect(typing.locator(".banner")).to_contain_text("The service does not answer")
    expect(typing.get_by_role("alert")).to_contain_text("The service does not answer")
    expect(typing.locator(".header .chip")).to_have_text("Offline")
    service.start()
    expect(typing.locator(".banner")).to_have_count(0)
    expect(typing.locator(".header .chip")).to_have_text("Ready")
    expect(typing.get_by_label("Path")).to_have_value("flight")
    typing.get_by_role("button", name="Start: Import").click()
    expect(typing.locator(".view-head .chip")).to_have_text("Done")
    expect(admin.locator(".view-head .chip")).to_have_text("Done")
    jobs = service.client.get("/jobs").json()["jobs"]
    assert [job["state"] for job in jobs] == ["done", "done"]
    assert (
        sum(job["report"]["enrolled"] for job in jobs)
        == len(images)
        == service.client.get("/gallery/stats").json()["total"]
    )


def test_a_list_goes_on_when_the_service_is_back(admin: Page) -> None:
    """Without an answer there is nothing to show; once there is one, it is shown without a click."""
    admin.route("**/jobs?*", lambda route: route.abort())
    admin.route("**/readyz", lambda route: route.abort())
    admin.goto("/#/jobs")
    expect(admin.get_by_role("heading", name="The service does not answer")).to_be_visible()
    assert violations(admin) == []
    admin.unroute_all()
    expect(admin.locator(".job-row").first).to_be_visible()
    expect(admin.locator(".banner")).to_have_count(0)


def test_an_overloaded_service_is_waited_for(admin: Page, service: LiveService) -> None:
    before = service.client.get("/jobs?kind=verify").json()["total"]
    refused = list[str]()

    def refuse_once(route: Route) -> None:
        if route.request.method != "POST" or refused:
            route.continue_()
            return
        refused.append(route.request.url)
        problem = {"type": "urn:sanet:problem:busy", "title": "Busy", "status": 429, "detail": "try again"}
        headers = {"Retry-After": "5", "Content-Type": "application/problem+json"}
        route.fulfill(status=429, headers=headers, body=json.dumps(problem))

    admin.route("**/jobs", refuse_once)
    admin.goto("/#/jobs/new/verify")
    admin.get_by_role("button", name="Start: Verify").click()
    expect(admin.locator(".banner")).to_contain_text("The service is busy: trying again in")
    expect(admin.locator(".view-head .chip")).to_have_text("Done")
    expect(admin.locator(".banner")).to_have_count(0)
    assert len(refused) == 1
    assert service.client.get("/jobs?kind=verify").json()["total"] == before + 1


def test_an_address_that_leads_nowhere_says_so(admin: Page) -> None:
    admin.goto("/#/elsewhere")
    expect(admin.get_by_role("heading", name="There is no such page")).to_be_visible()
    expect(admin).to_have_title("Not found · SANet Retrieval")
    assert violations(admin) == []
    admin.get_by_role("link", name="Look for a vehicle").click()
    expect(admin.get_by_role("heading", level=1)).to_be_visible()
    expect(admin).to_have_title("Query · SANet Retrieval")
    admin.go_back()
    expect(admin.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_the_keyboard_goes_to_each_view_and_past_the_tabs(admin: Page) -> None:
    admin.goto("/")
    expect(admin.get_by_role("heading", level=1)).to_be_visible()
    for name in ("Gallery", "Groups", "Jobs", "Quality"):
        tab_to(admin, name)
        admin.keyboard.press("Enter")
        expect(admin.locator("h1").first).to_be_visible()
        expect(admin.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")
        expect(admin).to_have_title(f"{name} · SANet Retrieval")
        admin.reload()
    admin.goto("/#/jobs")
    admin.reload()
    tab_to(admin, "Skip to content")
    admin.keyboard.press("Enter")
    assert admin.evaluate("document.activeElement.id") == "main"


def test_no_view_is_wider_than_a_phone(admin: Page) -> None:
    admin.set_viewport_size(PHONE)
    for view in ("query", "gallery", "groups", "jobs", "quality"):
        admin.goto(f"/#/{view}")
        expect(admin.locator(f".tabs a[href='#/{view}']")).to_have_attribute("aria-current", "page")
        expect(admin.locator("h1").first).to_be_visible()
        expect(admin.get_by_text("Loading …")).to_have_count(0)
        assert overhang(admin) == 0, view


def test_the_first_paint_is_small(browser: Browser, service: LiveService) -> None:
    """What comes over the wire to an empty cache: with headers until something is seen, without them for the view."""
    context = browser.new_context(base_url=str(service.client.base_url))
    page = context.new_page()
    page.goto("/", wait_until="networkidle")
    expect(page.locator("h1").first).to_be_visible()
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    loaded = page.evaluate(
        """() => {
          const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
          const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
          return entries.map((one) => [one.name, one.encodedBodySize, one.transferSize, one.responseEnd <= paint]);
        }"""
    )
    context.close()
    bodies = {name: body for name, body, _, _ in loaded}
    assert len(bodies) > 20
    assert sum(bodies.values()) <= MOST_FIRST_PAINT_BYTES, sorted(bodies.items(), key=lambda item: -item[1])[:10]
    assert 10_000 < sum(size for _, _, size, is_before in loaded if is_before) <= MOST_FIRST_PAINT_BYTES
