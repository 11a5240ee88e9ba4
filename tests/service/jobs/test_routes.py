import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import State

from service.app import create_app
from service.engine import Engine
from service.jobs.answers import JobAnswer
from service.jobs.background import Background
from service.jobs.jobs import Jobs
from service.jobs.kinds.bodies import PARAMETERS
from service.opening import Opening
from service.settings import Settings
from tests.service.conftest import serve
from tests.service.jobs.conftest import create, ended


@pytest.fixture
def manifest(root: Path) -> str:
    (root / "m.csv").write_text("path\n" + "".join(f"{i}.png\n" for i in range(10)))
    return "m.csv"


@pytest.fixture
def held(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A service whose first job runs and does not get on, so that all others wait."""
    monkeypatch.setattr(Background, "embed", lambda _, job, __: job.wait(3600))
    return settings


def test_a_job_is_answered_at_once_and_read_until_its_end(importing: TestClient, manifest: str) -> None:
    job = create(importing, kind="import", path=manifest)
    assert (job["state"], job["done"], job["total"], job["report"]) == ("queued", 0, None, None)
    assert job["parameters"] == {"path": manifest, "identity_from_folder": False}
    end = ended(importing, job)
    assert (end["state"], end["done"], end["total"]) == ("done", 10, 10)
    assert end["created_at"] <= end["started_at"] <= end["finished_at"]
    assert end["created_at"].endswith("Z")
    assert set(end) == set(JobAnswer.model_fields)
    assert JobAnswer.model_validate(end).report == end["report"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "kind: this field is required"),
        ({"kind": "dance"}, 422, "kind: Input should be 'import', 'evaluate', 'calibrate', 'backup'"),
        ({"kind": 3}, 422, "kind: Input should be 'import', 'evaluate', 'calibrate', 'backup'"),
        ({"kind": None}, 422, "kind: Input should be"),
        ({"kind": "import"}, 422, "path: this field is required"),
        ({"kind": "import", "path": ""}, 422, "path: "),
        ({"kind": "import", "path": 7}, 422, "path: a text was expected"),
        ({"kind": "import", "path": None}, 422, "path: a text was expected"),
        ({"kind": "import", "path": ["m.csv"]}, 422, "path: a text was expected"),
        ({"kind": "import", "path": "a" * 5000}, 422, "path: at most 4096 characters"),
        ({"kind": "import", "path": "m.csv", "folder": "x"}, 422, "folder: there is no such field"),
        ({"kind": "import", "path": "m.csv", "identity_from_folder": "yes"}, 422, "identity_from_folder: "),
        ({"kind": "import", "path": "m.csv", "identity_from_folder": 1}, 422, "identity_from_folder: "),
        ({"kind": "evaluate", "path": "m.csv"}, 422, "path: there is no such field"),
        ({"kind": "evaluate", "rerank": "true"}, 422, "rerank: "),
        ({"kind": "evaluate", "data": "../m.csv"}, 422, "does not lie below SANET_IMPORT_ROOT"),
        ({"kind": "evaluate"}, 409, "start the service with SANET_HELDOUT, or send data"),
        (["import"], 422, "a JSON object was expected"),
    ],
)
def test_a_body_that_is_no_job_is_refused_by_name(
    importing: TestClient, manifest: str, body: Any, status: int, said: str
) -> None:
    response = importing.post("/jobs", json=body)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert said in response.json()["detail"]
    assert importing.get("/jobs").json() == {"jobs": [], "next_cursor": None, "total": 0}


def test_a_body_in_another_form_is_refused(importing: TestClient) -> None:
    form = importing.post("/jobs", data={"kind": "import", "path": "m.csv"})
    assert (form.status_code, form.json()["type"]) == (415, "urn:sanet:problem:unsupported-content-type")
    twice = b'{"kind": "import", "path": "a", "path": "b"}'
    for content in (b"{", twice, b"\xff"):
        response = importing.post("/jobs", content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["type"]) == (400, "urn:sanet:problem:malformed-request")
    large = json.dumps({"kind": "import", "path": "a" * 3_000_000}).encode()
    assert importing.post("/jobs", content=large, headers={"Content-Type": "application/json"}).status_code == 413


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("/jobs/nobody", 404, "there is no job 'nobody'"),
        ("/jobs/nobody/events", 404, "there is no job 'nobody'"),
        ("/jobs/nobody/rejections", 404, "there is no job 'nobody'"),
        ("/jobs?limit=0", 422, "limit"),
        ("/jobs?limit=1001", 422, "limit"),
        ("/jobs?cursor=x", 422, "'x' is no cursor"),
        ("/jobs?state=waiting", 422, "state"),
        ("/jobs?kind=dance", 422, "kind"),
        ("/jobs?colour=red", 422, "colour"),
        ("/jobs?state=done&state=failed", 422, "state"),
        ("/jobs/nobody?x=1", 422, "x"),
        ("/jobs/nobody/rejections?limit=x", 422, "limit"),
    ],
)
def test_a_question_that_cannot_be_answered_is_a_problem(
    importing: TestClient, url: str, status: int, said: str
) -> None:
    response = importing.get(url)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    assert said in response.json()["detail"]


def test_jobs_are_listed_by_state_and_kind_with_the_newest_first(held: Settings, root: Path, manifest: str) -> None:
    with serve(held) as client:
        first = create(client, kind="import", path=manifest)
        waiting = [create(client, kind="evaluate", data=manifest) for _ in range(2)]
        waiting.append(create(client, kind="import", path="0.png"))
        while client.get(first["url"]).json()["state"] != "running":
            pass

        def ids(query: str = "") -> list[str]:
            return [job["id"] for job in client.get(f"/jobs{query}").json()["jobs"]]

        newest_first = [job["id"] for job in reversed([first, *waiting])]
        assert ids() == newest_first
        assert ids("?state=running") == [first["id"]]
        assert ids("?state=queued&kind=import") == [waiting[2]["id"]]
        assert ids("?kind=evaluate&limit=1") == [waiting[1]["id"]]
        page = client.get("/jobs?limit=3").json()
        assert page["total"] == 4
        assert ids(f"?limit=3&cursor={page['next_cursor']}") == newest_first[3:]
        assert client.head("/jobs").status_code == 200


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_soon(held: Settings, manifest: str) -> None:
    with serve(held) as client:
        running = create(client, kind="import", path=manifest)
        waiting = create(client, kind="import", path=manifest)
        while client.get(running["url"]).json()["total"] is None:
            pass
        response = client.delete(waiting["url"])
        assert (response.status_code, response.content) == (204, b"")
        assert client.get(waiting["url"]).json()["state"] == "cancelled"
        response = client.delete(running["url"])
        assert (response.status_code, response.json()["id"]) == (202, running["id"])
        assert ended(client, running)["state"] == "cancelled"
        for job in (running, waiting):  # as often as one likes
            assert client.delete(job["url"]).status_code == 204


def test_a_job_that_has_ended_cannot_be_cancelled(importing: TestClient, manifest: str) -> None:
    job = ended(importing, create(importing, kind="import", path=manifest))
    response = importing.delete(job["url"])
    assert (response.status_code, response.json()["type"]) == (409, "urn:sanet:problem:job-finished")
    assert importing.delete("/jobs/nobody").status_code == 404
    assert importing.get(job["url"]).json() == job


def test_too_many_jobs_are_refused_with_a_time_to_come_again(
    held: Settings, manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.job_store.MAX_UNFINISHED", 2)
    with serve(held) as client:
        jobs = [create(client, kind="import", path=manifest) for _ in range(2)]
        response = client.post("/jobs", json={"kind": "import", "path": manifest})
        assert (response.status_code, response.json()["type"]) == (429, "urn:sanet:problem:too-many-jobs")
        assert response.headers["Retry-After"] == "60"
        client.delete(jobs[1]["url"])
        create(client, kind="import", path=manifest)


def test_jobs_survive_a_restart(held: Settings, manifest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(held) as client:
        jobs = [create(client, kind="import", path=manifest) for _ in range(2)]
    monkeypatch.undo()
    with serve(held) as client:
        ends = [ended(client, job) for job in jobs]
    assert [end["state"] for end in ends] == ["done", "done"]
    assert [end["report"]["enrolled"] for end in ends] == [10, 0]


def test_jobs_begin_once_the_service_is_ready(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State()
    was_ready: list[bool] = []
    monkeypatch.setattr(Jobs, "start", lambda _: was_ready.append(state.engine is not None))
    opening = Opening(settings, state, lambda error: pytest.fail(str(error)))
    opening.start()
    opening._thread.join()
    opening.end()
    assert was_ready == [True]


def test_before_it_is_ready_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Engine:
        raise ValueError("no luck")

    monkeypatch.setattr(Engine, "open", fails)
    with TestClient(create_app(settings, lambda _: None)) as client:
        for response in (client.get("/jobs"), client.post("/jobs", json={"kind": "import", "path": "a"})):
            assert (response.status_code, response.json()["type"]) == (503, "urn:sanet:problem:not-ready")


def test_openapi_says_all(importing: TestClient) -> None:
    document = importing.get("/openapi.json").json()
    paths = document["paths"]
    assert {"/jobs", "/jobs/{id}", "/jobs/{id}/events", "/jobs/{id}/rejections"} <= paths.keys()
    body = paths["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    names = {parameters.__name__ for parameters in PARAMETERS.values()}
    assert {"ImportParameters", "EvaluateParameters", "BackupParameters"} <= names
    assert {choice["$ref"].rpartition("/")[2] for choice in body["oneOf"]} == names
    for name in names:
        assert document["components"]["schemas"][name]["additionalProperties"] is False
    assert {"202", "409", "422"} <= paths["/jobs"]["post"]["responses"].keys()
    assert {"202", "204", "404", "409"} <= paths["/jobs/{id}"]["delete"]["responses"].keys()
    assert set(paths["/jobs/{id}/events"]["get"]["responses"]["200"]["content"]) == {"text/event-stream"}
