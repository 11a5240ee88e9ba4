import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.service.conftest import enrol, serve
from tests.service.jobs.conftest import create, ended
from tests.service.jobs.kinds.test_grouping import all_records, enrol_vehicles, middle_distance


@pytest.fixture
def job(client: TestClient) -> Any:
    """A done job with the groups of three vehicles, three pictures each."""
    enrol_vehicles(client, num_vehicles=3)
    job = ended(client, create(client, kind="group", max_distance=middle_distance(all_records(client))))
    assert job["report"]["proposed"] == 3
    return job


def groups(client: TestClient, job: Any, **parameters: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        response = client.get(f"{job['url']}/groups", params={"limit": 2, **parameters})
        assert response.status_code == 200, response.text
        found += response.json()["groups"]
        if response.json()["next_cursor"] is None:
            return found
        parameters["cursor"] = response.json()["next_cursor"]


def review(client: TestClient, group: Any, **body: Any) -> Any:
    response = client.post(group["url"], json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: TestClient, url: str, body: Any, status: int) -> str:
    response = client.post(url, json=body)
    assert response.status_code == status, response.text
    return str(response.json()["type"].removeprefix("urn:sanet:problem:") + ": " + response.json()["detail"])


def ids_of(group: Any) -> list[str]:
    return [member["id"] for member in group["members"]]


def test_groups_are_seen_accepted_and_refused(client: TestClient, job: Any) -> None:
    first, second, third = groups(client, job)
    assert [group["number"] for group in (first, second, third)] == [1, 2, 3]
    id_ = ids_of(first)[0]
    client.patch(f"/gallery/{id_}", json={"camera": "north", "captured_at": "2026-05-01T12:00:00+02:00"})
    (first, *_) = groups(client, job)
    assert {name: first[name] for name in ("state", "identity", "url")} == {
        "state": "proposed",
        "identity": None,
        "url": f"{job['url']}/groups/1",
    }
    member = first["members"][0]
    assert member.pop("distance") > 0
    assert member == {
        "id": id_,
        "gone": False,
        "identity": None,
        "camera": "north",
        "captured_at": "2026-05-01T10:00:00Z",
        "image_url": f"/gallery/{id_}/image",
    }
    answer = review(client, first, action="accept", identity=" Bla\u0308 ")
    assert answer == {
        "number": 1,
        "state": "accepted",
        "identity": "Blä",
        "records": ids_of(first),
        "changed": ids_of(first),
        "gone": [],
    }
    assert review(client, first, action="accept", identity="Blä") == answer
    assert {record["id"] for record in client.get("/gallery?identity=Blä").json()["records"]} == set(ids_of(first))
    assert review(client, second, action="refuse")["state"] == "refused"
    assert [group["number"] for group in groups(client, job, state="proposed")] == [3]
    assert [group["identity"] for group in groups(client, job, state="accepted")] == ["Blä"]
    assert [group["number"] for group in groups(client, job, state="refused")] == [2]
    # A part of the third; one of its records is deleted meanwhile.
    kept, gone, rest = ids_of(third)
    assert client.delete(f"/gallery/{gone}").status_code == 204
    answer = review(client, third, action="accept", identity="c", records=[gone, kept])
    assert (answer["changed"], answer["gone"]) == ([kept], [gone])
    proposed, accepted = (group for group in groups(client, job) if group["number"] == 3)
    assert (ids_of(proposed), ids_of(accepted)) == ([rest], [kept, gone])
    assert [member["gone"] for member in accepted["members"]] == [False, True]
    assert "reviewed otherwise before" in refused(client, first["url"], {"action": "refuse"}, 409)
    assert "group-reviewed" in refused(client, second["url"], {"action": "accept", "identity": "x"}, 409)
    assert "not-in-group" in refused(
        client, third["url"], {"action": "accept", "identity": "x", "records": [ids_of(first)[0]]}, 422
    )


def test_reviews_survive_a_restart(settings: Settings) -> None:
    with serve(settings) as client:
        enrol_vehicles(client, num_vehicles=2)
        job = ended(client, create(client, kind="group", max_distance=middle_distance(all_records(client))))
        first, second = groups(client, job)
        review(client, first, action="accept", identity="a")
        review(client, second, action="refuse")
        before = groups(client, job)
    with serve(settings) as client:
        assert groups(client, job) == before
        assert [group["state"] for group in before] == ["accepted", "refused"]
        # What has its names is proposed no more.
        again = ended(client, create(client, kind="group", max_distance=1000, records={"identity": "a"}))
        assert (again["report"]["groups"], again["report"]["proposed"]) == (1, 0)
        assert groups(client, again) == []


@pytest.mark.parametrize("identities", [["a"] * 8, list("abcdefgh")])
def test_of_several_reviewers_at_once_one_decides(client: TestClient, job: Any, identities: list[str]) -> None:
    (group, *_) = groups(client, job)
    statuses: list[int] = []

    def send(identity: str) -> None:
        statuses.append(client.post(group["url"], json={"action": "accept", "identity": identity}).status_code)

    threads = [threading.Thread(target=send, args=[identity]) for identity in identities]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    num_same = len(identities) // len(set(identities))
    assert sorted(statuses) == [200] * num_same + [409] * (8 - num_same)
    found = {client.get(f"/gallery/{id_}").json()["identity"] for id_ in ids_of(group)}
    (accepted,) = groups(client, job, state="accepted")
    assert found == {accepted["identity"]}


def test_what_is_no_review_is_refused(client: TestClient, job: Any) -> None:
    (group, *_) = groups(client, job)
    url, id_ = group["url"], ids_of(group)[0]
    cases: list[tuple[Any, str]] = [
        ({}, "action: this field is required"),
        ({"action": "merge"}, "action"),
        ({"action": "accept"}, "accept needs an identity"),
        ({"action": "accept", "identity": None}, "accept needs an identity"),
        ({"action": "accept", "identity": "  "}, "at least one visible character"),
        ({"action": "accept", "identity": 5}, "identity: a text was expected"),
        ({"action": "accept", "identity": "a", "records": []}, "records"),
        ({"action": "accept", "identity": "a", "records": id_}, "records: a list was expected"),
        ({"action": "accept", "identity": "a", "records": [1]}, "records.0: a text was expected"),
        ({"action": "refuse", "identity": "a"}, "refuse takes neither identity nor records"),
        ({"action": "refuse", "records": [id_]}, "refuse takes neither identity nor records"),
        ({"action": "refuse", "reason": "x"}, "reason: there is no such field"),
        ([], "a JSON object was expected"),
    ]
    for body, said in cases:
        assert said in refused(client, url, body, 422)
    for number in ("4", "0", "-1", "x", "1.0", "01x", "9" * 30):
        assert "group-not-found" in refused(client, f"{job['url']}/groups/{number}", {"action": "refuse"}, 404)
    assert client.post(url, content=b"{}").status_code == 415
    assert client.get(f"{job['url']}/groups?state=done").status_code == 422
    assert client.get(f"{job['url']}/groups?cursor=x").json()["title"] == "Unknown cursor"
    assert client.get(f"{job['url']}/groups?limit=0").status_code == 422
    assert client.get(f"{job['url']}/groups?page=2").status_code == 422
    assert {group["state"] for group in groups(client, job)} == {"proposed"}


def test_other_jobs_have_no_groups(client: TestClient) -> None:
    assert client.get("/jobs/none/groups").json()["title"] == "Job not found"
    assert "job-not-found" in refused(client, "/jobs/none/groups/1", {"action": "refuse"}, 404)
    enrol(client, 1, 2)
    other = ended(client, create(client, kind="match", records={}))
    response = client.get(f"{other['url']}/groups")
    assert (response.status_code, response.json()["title"]) == (404, "Job file not found")
