"""Groups in a real browser: proposed by a job that is watched to its end, then reviewed."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.live_service import LiveService
from service.settings import shipped_checkpoint
from tests.service.page.accessibility import PHONE, overhang, tab_to, violations
from tests.service.page.conftest import WAIT_MS
from tests.service.page.drawn_vehicles import drawn_vehicles, enrol

expect.set_options(timeout=WAIT_MS)

NUM_VEHICLES = 12


@pytest.fixture(scope="module")
def gallery(service: LiveService) -> dict[str, str]:
    """Three pictures of each of some vehicles: from the record's id to which vehicle it shows."""
    demo = shipped_checkpoint().parent
    paths = [path for image in range(3) for path in drawn_vehicles(demo, image)[:NUM_VEHICLES]]
    ids = enrol(service, paths, [{"camera": f"gate {n // NUM_VEHICLES}"} for n in range(len(paths))])
    return dict(zip(ids, (path.parent.name for path in paths), strict=True))


def propose(page: Page, service: LiveService, max_distance: str = "1.5") -> str:
    """Starts a job by the form, watches it to its end, and gives its id."""
    page.goto("/#/groups")
    page.get_by_role("button", name="Propose groups").click()
    dialog = page.get_by_role("dialog", name="Propose groups")
    expect(dialog.get_by_text("Left empty, the calibration decides")).to_be_visible()
    dialog.get_by_label("Camera").fill("gate 0, gate 1, gate 2")
    dialog.get_by_label("How alike?").fill(max_distance)
    dialog.get_by_role("button", name="Propose groups").click()
    expect(page.get_by_label("The proposal")).to_contain_text(f"Records{3 * NUM_VEHICLES}")
    expect(rows(page).first).to_be_visible()
    job: str = page.url.rpartition("/")[2]
    return job


def rows(page: Page) -> Locator:
    """The groups that are still to be reviewed on this page."""
    return page.get_by_role("list", name="Groups: To review").locator("> li").filter(has=page.get_by_role("form"))


def groups(service: LiveService, job: str, state: str) -> list[dict[str, Any]]:
    """What the service has."""
    parts: list[dict[str, Any]] = service.client.get(
        f"/jobs/{job}/groups", params={"state": state, "limit": "1000"}
    ).json()["groups"]
    return parts


def identity(service: LiveService, id_: str) -> str | None:
    name: str | None = service.client.get(f"/gallery/{id_}").json()["identity"]
    return name


def test_without_a_proposal_it_says_what_to_do(page: Page, gallery: dict[str, str]) -> None:
    page.goto("/#/groups")
    expect(page.get_by_role("heading", name="Groups", level=1)).to_be_visible()
    expect(page.get_by_text("No groups were proposed yet")).to_be_visible()
    page.goto("/#/groups/0123456789abcdef")
    expect(page.get_by_text("There is no such proposal")).to_be_visible()


def test_a_group_is_accepted_split_and_refused(page: Page, service: LiveService, gallery: dict[str, str]) -> None:
    job = propose(page, service)
    first, second, third = groups(service, job, "proposed")[:3]
    expect(rows(page).first.locator("img").first).to_be_visible()

    # Accepted whole.
    row = rows(page).nth(0)
    row.get_by_label("Identity").fill("car one")
    row.get_by_role("button", name="Accept all").click()
    expect(page.get_by_role("list", name="Groups: To review").locator("> li").first).to_contain_text("car one")
    ids = [member["id"] for member in first["members"]]
    assert [identity(service, id_) for id_ in ids] == ["car one"] * len(ids)

    # Split: one crop is taken out, and stays to be reviewed as a group of its own.
    row = rows(page).nth(0)
    expect(row.get_by_role("heading")).to_have_text(f"Group {second['number']}")
    crops = row.get_by_role("button", name=re.compile("in the group$"))
    expect(crops).to_have_count(len(second["members"]))
    crops.last.click()
    row.get_by_label("Identity").fill("car two")
    row.get_by_role("button", name=f"Accept {len(second['members']) - 1}").click()
    row = rows(page).nth(0)
    expect(row.get_by_role("heading")).to_have_text(f"Group {second['number']}")
    expect(row.get_by_role("button", name=re.compile("in the group$"))).to_have_count(1)
    *together, apart = [member["id"] for member in second["members"]]
    assert [identity(service, id_) for id_ in together] == ["car two"] * len(together)
    assert identity(service, apart) is None

    # Refused: what was left of it, and the next one.
    for number in (second["number"], third["number"]):
        row = rows(page).nth(0)
        expect(row.get_by_role("heading")).to_have_text(f"Group {number}")
        row.get_by_role("button", name="Refuse").click()
        expect(rows(page).nth(0).get_by_role("heading")).not_to_have_text(f"Group {number}")
    refused = groups(service, job, "refused")
    assert [part["number"] for part in refused] == [second["number"], third["number"]]
    assert [member["id"] for member in refused[0]["members"]] == [apart]

    page.get_by_role("link", name="Accepted").click()
    accepted = page.get_by_role("list", name="Groups: Accepted")
    expect(accepted.locator("> li")).to_have_count(2)
    expect(accepted).to_contain_text("car two")
    page.get_by_role("link", name="Refused").click()
    expect(page.get_by_role("list", name="Groups: Refused").locator("> li")).to_have_count(2)


def test_reviewed_by_the_keyboard_alone(page: Page, service: LiveService, gallery: dict[str, str]) -> None:
    job = propose(page, service)
    first, second, third = groups(service, job, "proposed")[:3]
    tab_to(page, "in the group")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(rows(page).nth(0).get_by_role("button", name=re.compile("taken out$"))).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("i")
    expect(rows(page).nth(0).get_by_label("Identity")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("ax car")  # letters that are keys elsewhere
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    expect(rows(page).nth(0).get_by_role("heading")).to_have_text(f"Group {second['number']}")
    ids = [member["id"] for member in first["members"]]
    assert [identity(service, id_) for id_ in ids] == ["ax car"] * len(ids)
    # The focus goes on to the next row by itself.
    expect(rows(page).nth(0).get_by_role("button", name=re.compile("in the group$")).first).to_be_focused()
    page.keyboard.down("x")
    expect(rows(page).nth(0).get_by_role("heading")).to_have_text(f"Group {third['number']}")
    # Held down, it refuses no other one.
    expect(rows(page).nth(0).get_by_role("button", name=re.compile("in the group$")).first).to_be_focused()
    for _ in range(3):
        page.keyboard.down("x")
    page.keyboard.up("x")
    page.keyboard.press("i")
    expect(rows(page).nth(0).get_by_label("Identity")).to_be_focused()
    expect(rows(page).nth(0).get_by_role("heading")).to_have_text(f"Group {third['number']}")
    expect(rows(page).nth(0).get_by_role("button", name="Refuse")).to_be_enabled()
    assert [part["number"] for part in groups(service, job, "refused")] == [second["number"]]


def test_what_others_did_meanwhile(page: Page, service: LiveService, gallery: dict[str, str], demo: Path) -> None:
    copies = enrol(service, drawn_vehicles(demo, 1)[30:32] + drawn_vehicles(demo, 2)[30:32], [{"camera": "wharf"}] * 4)
    created = service.client.post(
        "/jobs", json={"kind": "group", "records": {"camera": ["wharf"]}, "max_distance": 10.0}
    ).json()
    page.goto(f"/#/groups/{created['id']}")
    expect(rows(page)).to_have_count(1)
    (group,) = groups(service, created["id"], "proposed")
    assert {member["id"] for member in group["members"]} == set(copies)
    gone = group["members"][0]["id"]
    assert service.client.delete(f"/gallery/{gone}").status_code == 204
    page.reload()
    expect(rows(page).get_by_role("img", name="deleted meanwhile")).to_be_visible()
    expect(rows(page).get_by_role("button", name=re.compile("in the group$"))).to_have_count(3)
    answer = service.client.post(group["url"], json={"action": "accept", "identity": "theirs"})
    assert answer.status_code == 200, answer.text
    rows(page).get_by_label("Identity").fill("mine")
    rows(page).get_by_role("button", name="Accept all").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has decided on this group meanwhile")
    assert identity(service, group["members"][1]["id"]) == "theirs"
    page.get_by_role("button", name="Read it again").click()
    expect(page.get_by_text("Nothing left to review")).to_be_visible()


def test_an_identity_that_somebody_gave_meanwhile_stays(
    page: Page, service: LiveService, gallery: dict[str, str], demo: Path
) -> None:
    copies = enrol(service, drawn_vehicles(demo, 1)[34:36] + drawn_vehicles(demo, 2)[34:36], [{"camera": "dock"}] * 4)
    created = service.client.post(
        "/jobs", json={"kind": "group", "records": {"camera": ["dock"]}, "max_distance": 10.0}
    ).json()
    page.goto(f"/#/groups/{created['id']}")
    expect(rows(page)).to_have_count(1)
    answer = service.client.patch(f"/gallery/{copies[2]}", json={"identity": "theirs"})
    assert answer.status_code == 200, answer.text
    rows(page).get_by_label("Identity").fill("mine")
    rows(page).get_by_role("button", name="Accept all").click()
    expect(page.get_by_role("alert")).to_contain_text("gave one of these records another identity meanwhile")
    assert [identity(service, id_) for id_ in copies] == [None, None, "theirs", None]
    page.get_by_role("button", name="Read it again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    rows(page).get_by_role("button", name=re.compile("^theirs.*in the group$")).click()
    rows(page).get_by_role("button", name="Accept 3").click()
    expect(page.get_by_role("list", name="Groups: To review").locator("> li").first).to_contain_text("mine")
    assert [identity(service, id_) for id_ in copies] == ["mine", "mine", "theirs", "mine"]
    page.goto(f"/#/groups/{created['id']}?state=constructor")
    expect(page.get_by_role("list", name="Groups: To review")).to_be_visible()


def test_accessible_and_fits_a_phone(page: Page, service: LiveService, gallery: dict[str, str]) -> None:
    propose(page, service)
    expect(rows(page).first.locator("img").first).to_be_visible()
    rows(page).first.get_by_role("button", name=re.compile("in the group$")).first.click()
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert overhang(page) == 0
    page.get_by_role("link", name="All proposals").click()
    expect(page.get_by_role("link", name=re.compile("^camera gate 0"))).not_to_have_count(0)
    assert overhang(page) == 0
    page.get_by_role("button", name="Propose groups").click()
    assert violations(page) == []
