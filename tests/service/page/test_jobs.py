"""Jobs: started by their forms, watched to the end, cancelled; what they report and what they could not use."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.live_service import LiveService
from tests.service.page.accessibility import PHONE, overhang, tab_to, violations
from tests.service.page.conftest import WAIT_MS

expect.set_options(timeout=WAIT_MS)

VEHICLES: Final = 24
MISSING: Final = 30

Start = Callable[..., str]


@pytest.fixture(scope="module")
def flight(folder: Path, demo: Path) -> Path:
    """A manifest of drawn vehicles below the import root; many of its rows cannot be used."""
    flight = folder / "import" / "flight"
    flight.mkdir()
    rows = list(csv.DictReader((demo / "manifest.csv").read_text().splitlines()))[:VEHICLES]
    with (flight / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "identity"])
        for number, row in enumerate(rows):
            shutil.copyfile(demo / row["path"], flight / f"{number}.jpg")
            writer.writerow([f"{number}.jpg", ""])
        (flight / "notes.jpg").write_text("this is no picture")
        writer.writerow(["notes.jpg", ""])
        writer.writerows([f"gone-{number}.jpg", ""] for number in range(MISSING))
    return flight


@pytest.fixture(scope="module")
def start(service: LiveService) -> Start:
    """Starts a job without the page, and gives its id."""

    def start(**parameters: Any) -> str:
        answer = service.client.post("/jobs", json=parameters)
        assert answer.status_code == 202, answer.text
        id_: str = answer.json()["id"]
        return id_

    return start


@pytest.fixture(scope="module")
def long_path(folder: Path, flight: Path) -> str:
    """What a job `match` takes minutes for, and changes nothing by: one vehicle in very many boxes."""
    long = folder / "import" / "long"
    long.mkdir()
    shutil.copyfile(flight / "0.jpg", long / "0.jpg")
    boxes = [f"{x},{y},{size},{size}" for size in range(16, 32) for x in range(40) for y in range(40)]
    rows = ["path,identity,box", *(f'0.jpg,,"{box}"' for box in boxes)]
    (long / "manifest.csv").write_text("\n".join(rows) + "\n")
    return "long"


def state(page: Page) -> Locator:
    """What the chip beside the heading says."""
    return page.locator(".view-head .chip")


def figure(page: Page, name: str) -> Locator:
    """The number below a name in a report."""
    return (
        page.get_by_role("region", name="Report")
        .locator(".figure-tile")
        .filter(has=page.get_by_text(name, exact=True))
        .locator("dd")
    )


def fill_form(page: Page, kind: str, **fields: str) -> None:
    """Opens the form of a kind, fills its fields by their labels, and sends it."""
    page.goto(f"/#/jobs/new/{kind}")
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Start:").click()


def test_an_import_is_started_and_watched_to_its_end(page: Page, service: LiveService, flight: Path) -> None:
    page.goto("/#/jobs")
    page.get_by_role("link", name="Start a job").click()
    page.get_by_role("link", name="Import").click()
    page.get_by_label("Path").fill(flight.name)
    page.get_by_role("button", name="Start: Import").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Import: flight")
    expect(state(page)).to_have_text("Done")
    expect(figure(page, "Enrolled")).to_have_text(str(VEHICLES))
    expect(figure(page, "There already")).to_have_text("0")
    expect(figure(page, "Rejected")).to_have_text(str(1 + MISSING))
    assert service.client.get("/gallery/stats").json()["total"] == VEHICLES

    # What was rejected, with reasons, page by page.
    rejected = page.get_by_role("region", name="Rejected")
    expect(rejected.locator("tbody tr")).to_have_count(25)
    expect(rejected.get_by_role("row").filter(has_text="gone-0.jpg")).to_be_visible()
    expect(rejected).to_contain_text(f"1–25 of {1 + MISSING}")
    rejected.get_by_role("button", name="Next page").click()
    expect(rejected.locator("tbody tr")).to_have_count(1 + MISSING - 25)
    (job,) = service.client.get("/jobs?kind=import").json()["jobs"]
    reasons = service.client.get(job["rejections_url"]).json()["rejections"]
    last = rejected.get_by_role("row").filter(has_text=reasons[-1]["name"])
    expect(last).to_contain_text(reasons[-1]["reason"])

    # Sent again, everything is there already.
    page.get_by_role("button", name="Start again").click()
    expect(figure(page, "There already")).to_have_text(str(VEHICLES))
    expect(state(page)).to_have_text("Done")
    assert service.client.get("/gallery/stats").json()["total"] == VEHICLES
    assert service.client.get("/jobs?kind=import").json()["total"] == 2


def test_groups_are_proposed_and_can_be_downloaded(page: Page, service: LiveService) -> None:
    fill_form(page, "group", **{"Largest distance within a group": "1.4"})
    expect(page.get_by_role("heading", level=1)).to_have_text("Group: records of the gallery")
    expect(state(page)).to_have_text("Done")
    (job,) = service.client.get("/jobs?kind=group").json()["jobs"]
    assert (job["parameters"]["max_distance"], job["report"]["records"]) == (1.4, VEHICLES)
    assert job["report"]["proposed"] > 0
    expect(figure(page, "To review")).to_have_text(str(job["report"]["proposed"]))
    expect(page.get_by_role("link", name="Review the groups")).to_have_attribute("href", f"#/groups/{job['id']}")
    with page.expect_download() as download:
        page.get_by_role("button", name="groups.csv").click()
    assert download.value.suggested_filename == "groups.csv"
    assert download.value.path().read_bytes() == service.client.get(job["report"]["files"][0]["url"]).content


def test_a_match_of_records_takes_the_conditions_of_its_form(page: Page, service: LiveService) -> None:
    page.goto("/#/jobs/new/match")
    page.get_by_label("Records of the gallery").check()
    asked = page.get_by_role("group", name="Records that are looked for")
    asked.get_by_label("Source").fill("3.jpg")
    page.get_by_label("Matches of each vehicle").fill("2")
    page.get_by_label("One match for each identity").check()
    page.get_by_role("button", name="Start: Match").click()
    expect(state(page)).to_have_text("Done")
    expect(figure(page, "Looked for")).to_have_text("1")
    expect(figure(page, "With matches")).to_have_text("1")
    (job,) = service.client.get("/jobs?kind=match").json()["jobs"]
    parameters = job["parameters"]
    assert parameters["records"]["source"] == "3.jpg"
    assert (parameters["top_k"], parameters["group_by"]) == (2, "identity")
    assert service.client.get(job["report"]["files"][0]["url"]).text.count("\n") == 3
    page.get_by_text("Parameters").click()
    expect(page.locator(".job-parameters")).to_contain_text("source 3.jpg")


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("verify", {}, "The gallery is sound"),
        ("backup", {"Path": "monday"}, "The backup “monday” is complete."),
        ("export", {"Path": "parquet"}, "The export “parquet” is complete."),
    ],
)
def test_the_gallery_is_checked_and_copied(
    page: Page, service: LiveService, kind: str, fields: dict[str, str], said: str
) -> None:
    fill_form(page, kind, **fields)
    expect(state(page)).to_have_text("Done")
    expect(page.get_by_role("region", name="Report")).to_contain_text(said)
    assert service.client.get(f"/jobs?kind={kind}").json()["jobs"][0]["report"]["records"] == VEHICLES
    expect(figure(page, "Records read" if kind == "verify" else "Records")).to_have_text(str(VEHICLES))


def test_what_is_damaged_is_listed(page: Page, folder: Path) -> None:
    image = next((folder / "data" / "images").glob("*/*"))
    whole = image.read_bytes()
    try:
        image.write_bytes(whole[:-100])
        fill_form(page, "verify")
        expect(page.get_by_role("alert")).to_contain_text("1 thing is damaged")
        expect(figure(page, "Damaged")).to_have_text("1")
        expect(page.get_by_role("region", name="Rejected").get_by_role("row")).to_contain_text(["File", image.name])
    finally:
        image.write_bytes(whole)


def test_what_cannot_work_is_said_in_words(page: Page, service: LiveService) -> None:
    """Where it was typed, which stays; and on the job's page, where it turned out later."""
    fill_form(page, "import", Path="nowhere")
    expect(page.get_by_role("alert")).to_contain_text("nowhere")
    expect(page.get_by_label("Path")).to_have_value("nowhere")
    assert service.client.get("/jobs?kind=import").json()["total"] == 2
    fill_form(page, "calibrate")  # no record has an identity
    expect(state(page)).to_have_text("Failed")
    expect(page.get_by_role("alert")).to_contain_text("no record with an identity")
    page.goto("/#/jobs/0123456789abcdef")
    expect(page.get_by_role("alert")).to_contain_text("0123456789abcdef")


def test_the_first_evaluation_is_drawn(page: Page, service: LiveService) -> None:
    """The service itself started it."""
    (job,) = service.client.get("/jobs?kind=evaluate").json()["jobs"]
    page.goto(f"/#/jobs/{job['id']}")
    expect(state(page)).to_have_text("Done")
    report = service.client.get(job["url"]).json()["report"]
    expect(figure(page, "Rank 1")).to_contain_text(f"{100 * report['cmc']['1']:.1f} %")
    curve = page.get_by_role("img", name=re.compile("^CMC curve"))
    expect(curve.locator("circle")).to_have_count(20)
    page.get_by_role("button", name="to 50").click()
    expect(curve.get_by_text("50", exact=True)).to_be_visible()


def test_jobs_are_cancelled_and_listed_page_by_page(
    page: Page, service: LiveService, start: Start, long_path: str
) -> None:
    running = start(kind="match", path=long_path)
    waiting = [start(kind="verify") for _ in range(21)]
    page.goto("/#/jobs")
    expect(page.locator(".job-row")).to_have_count(20)
    page.get_by_label("State").select_option("Waiting")
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("1–20 of 21")
    page.get_by_role("button", name="Next page").click()
    expect(page.locator(".job-row")).to_have_count(1)
    for id_ in waiting[1:]:
        service.client.delete(f"/jobs/{id_}")
    page.get_by_label("Kind").select_option("Verify")
    expect(page.locator(".job-row")).to_have_count(1)
    page.locator(".job-row a").first.click()
    expect(state(page)).to_have_text("Waiting")
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(state(page)).to_have_text("Cancelled")
    assert service.client.get(f"/jobs/{waiting[0]}").json()["state"] == "cancelled"

    page.goto("/#/jobs?state=running")
    page.get_by_role("link", name=f"Match: {long_path}").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("of 25,600 vehicles")
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(state(page)).to_have_text("Cancelled")
    job = service.client.get(f"/jobs/{running}").json()
    assert job["state"] == "cancelled"
    assert job["done"] < job["total"] == 25_600
    page.goto("/#/jobs?state=running")
    expect(page.get_by_role("heading", name="No such jobs")).to_be_visible()


def test_events_are_read_however_they_are_cut(page: Page) -> None:
    """Comments are none, several lines of data are one, and what the stream breaks off in is not given."""
    text = (
        'retry: 2000\n\nid: 1\nevent: job\ndata: {"a":\ndata: 1}\n\n: still there\n\n'
        "id: 2\r\ndata: Zoë: 3\r\n\r\nid: 3\ndata: cut"
    )
    page.goto("/")
    for size in (1, 2, 7, 1000):
        events = page.evaluate(
            """async ([text, size]) => {
              const { readEvents } = await import("./page/api/events.js");
              const bytes = new TextEncoder().encode(text);
              let at = 0;
              const body = new ReadableStream({
                pull(controller) {
                  if (at >= bytes.length) return controller.close();
                  controller.enqueue(bytes.slice(at, (at += size)));
                },
              });
              const events = [];
              for await (const event of readEvents(body)) events.push(event);
              return events;
            }""",
            [text, size],
        )
        assert events == [{"id": "1", "event": "job", "data": '{"a":\n1}'}, {"id": "2", "data": "Zoë: 3"}]


def test_the_keyboard_alone_starts_a_job(page: Page, service: LiveService) -> None:
    before = service.client.get("/jobs?kind=verify").json()["total"]
    page.goto("/#/jobs")
    expect(page.locator(".job-row").first).to_be_visible()
    tab_to(page, "Start a job")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start a job")
    tab_to(page, "Verify")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start a job: Verify")
    tab_to(page, "Start: Verify")
    page.keyboard.press("Enter")
    expect(state(page)).to_have_text("Done")
    assert service.client.get("/jobs?kind=verify").json()["total"] == before + 1


@pytest.mark.parametrize("address", ["jobs", "jobs/new", "jobs/new/match", "import", "evaluate"])
def test_everybody_can_read_it(page: Page, service: LiveService, address: str) -> None:
    """On a phone, by a screen reader, light and dark."""
    if address in ("import", "evaluate"):
        address = f"jobs/{service.client.get(f'/jobs?kind={address}').json()['jobs'][-1]['id']}"
    page.set_viewport_size(PHONE)
    page.goto(f"/#/{address}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)
    assert overhang(page) == 0
    assert violations(page) == []
