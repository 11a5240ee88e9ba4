import asyncio
import gc
import shutil
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from index.embedded.generation import Generation, next_generation
from index.gallery.record import ModelKey, content_hash
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from model.embeddings import Embeddings
from service.jobs.background import Background
from service.jobs.running_job import RunningJob
from service.multipart import read_form
from service.settings import Settings
from tests.conftest import picture, png
from tests.service.conftest import enrol, query, serve
from tests.service.jobs.conftest import create, ended, rejections

SEEDS = range(20)


@pytest.fixture(scope="session")
def oracle(small_checkpoint: Path, other_checkpoint: Path) -> dict[str, NDArray[np.float32]]:
    """By fingerprint, the embeddings (40, D) of the pictures of 40 seeds."""
    pictures = [picture(seed) for seed in range(40)]
    checkpoints = [load_checkpoint(path) for path in (small_checkpoint, other_checkpoint)]
    return {checkpoint.card.fingerprint: Embedder(checkpoint).embed(pictures).embedding for checkpoint in checkpoints}


@pytest.fixture
def before(small_checkpoint: Path, tmp_path: Path) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")


@pytest.fixture
def after(before: Settings, other_checkpoint: Path) -> Settings:
    return before.model_copy(update={"checkpoint": other_checkpoint})


def fingerprint(settings: Settings) -> str:
    return read_card(settings.checkpoint).fingerprint


def check(answer: Any, seed: int, oracle: dict[str, NDArray[np.float32]]) -> None:
    """All matches of a query have the distances of one model, the one that the answer names."""
    embeddings = oracle[answer["query"]["model"]].astype(np.float64)
    assert answer["matches"]
    for match in answer["matches"]:
        of_match = int(match["source"].removesuffix(".png"))
        distance = np.linalg.norm(embeddings[seed] - embeddings[of_match])
        assert match["distance"] == pytest.approx(distance, abs=1e-3)


@dataclass
class Held:
    """Holds what jobs embed: so many batches may pass, and then it waits.

    Attributes:
        reached: it waits.
        go_on: it shall not.
    """

    num_free: int
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def held_after(num_batches: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(num_batches)
    embed = Background.embed

    def waits(background: Background, job: RunningJob, images: NDArray[np.uint8]) -> Embeddings:
        if held.num_free == 0:
            held.reached.set()
            while not held.go_on.wait(0.01):
                job.raise_if_interrupted()
        else:
            held.num_free -= 1
        return embed(background, job, images)

    with monkeypatch.context() as patch:
        patch.setattr(Background, "embed", waits)
        yield held
        held.go_on.set()


def reembeddings(client: TestClient) -> list[Any]:
    jobs: list[Any] = client.get("/jobs", params={"kind": "reembed"}).json()["jobs"]
    return jobs


def finished(client: TestClient) -> Any:
    """The newest job that embeds anew, once it has ended."""
    return ended(client, reembeddings(client)[0])


def listed(client: TestClient) -> list[Any]:
    """Every record, but for what its model makes of it."""
    names = ("id", "identity", "camera", "tags", "source", "attributes", "box", "enrolled_at")
    records = client.get("/gallery", params={"limit": 1000}).json()["records"]
    return [{name: record[name] for name in names} for record in records]


def test_a_new_checkpoint_takes_over_by_itself_and_every_record_with_it(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]]
) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
        records = listed(client)
        assert client.get("/model").json()["next_model"] is None
    with serve(after) as client:
        job = finished(client)
        assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 20, 20, 0)
        assert job["report"] == {
            "model": fingerprint(after),
            "precision": "float32",
            "model_before": fingerprint(before),
            "precision_before": "float32",
            "searchable": 20,
            "not_embedded": 0,
        }
        answer = query(client, 3, top_k=20)
        assert (answer["query"]["model"], answer["searched"]) == (fingerprint(after), 20)
        check(answer, 3, oracle)
        assert listed(client) == records
        assert client.get("/model").json()["fingerprint"] == fingerprint(after)
        assert client.get("/readyz").json() == {"status": "ready"}
        assert len(answer["warnings"]) == 1  # that it is untrained
    with serve(after) as client:
        assert len(reembeddings(client)) == 1
        assert query(client, 3)["matches"][0]["distance"] == pytest.approx(0, abs=1e-3)
    data_dir = after.data_dir
    assert Generation.read(data_dir).model == ModelKey(fingerprint(after), "float32")
    assert not (data_dir / "gallery.sqlite").exists()
    assert [path.name for path in (data_dir / "checkpoints").iterdir()] == [f"{fingerprint(after)}.safetensors"]
    assert len(list((data_dir / "generations").iterdir())) == 1


def test_until_then_the_old_model_answers_and_the_service_says_what_is_on_its_way(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        answer = query(client, 5, top_k=20)
        assert (answer["query"]["model"], answer["searched"]) == (fingerprint(before), 20)
        check(answer, 5, oracle)
        card = client.get("/model")
        assert card.headers["SANet-Model"].startswith(fingerprint(before))
        following = card.json()["next_model"]
        assert (following["fingerprint"], following["precision"]) == (fingerprint(after), "float32")
        assert (following["state"], following["total"]) == ("running", 20)
        assert client.get(following["job_url"]).json()["kind"] == "reembed"
        public = {name: following[name] for name in ("fingerprint", "precision", "state")}
        assert client.get("/readyz").json() == {"status": "ready", "next_model": public}
        pools = client.app.state.engine.pools  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:  # many read, and have nothing to do with it
            patch.setattr(pools.read, "num_under_way", 1024)
            assert client.get("/readyz").json()["next_model"] == public
            assert client.get("/model").json()["next_model"] == following
            patch.setattr(pools.scrape, "num_under_way", 16)
            assert client.get("/readyz").json() == {"status": "ready"}
            assert client.get("/model").json()["next_model"] is None
        scraped = client.get("/metrics").text
        assert f'sanet_next_model_info{{fingerprint="{fingerprint(after)}",precision="float32"}} 1.0' in scraped
        assert "sanet_reembedding_records 20.0" in scraped
        held.go_on.set()
        assert finished(client)["state"] == "done"
        assert "sanet_next_model" not in client.get("/metrics").text


def test_what_is_enrolled_changed_and_deleted_meanwhile_is_in_the_result(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(before) as client:
        ids = [result["id"] for result in enrol(client, *SEEDS)["results"]]
    with held_after(2, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        assert enrol(client, 30, 31)["enrolled"] == 2
        assert client.patch(f"/gallery/{ids[0]}", json={"identity": "van", "tags": ["x"]}).status_code == 200
        assert client.patch(f"/gallery/{ids[19]}", json={"camera": "north"}).status_code == 200
        assert client.delete(f"/gallery/{ids[1]}").status_code == 204
        assert client.delete(f"/gallery/{ids[18]}").status_code == 204
        assert client.delete(f"/gallery/{ids[2]}").status_code == 204
        assert enrol(client, 2)["enrolled"] == 1  # behind all others
        records = listed(client)
        held.go_on.set()
        job = finished(client)
        assert (job["state"], job["done"], job["total"]) == ("done", 20, 20)
        assert listed(client) == records
        for seed in (0, 2, 19, 30):
            answer = query(client, seed, top_k=40)
            assert (answer["query"]["model"], answer["searched"]) == (fingerprint(after), 20)
            assert int(answer["matches"][0]["source"].removesuffix(".png")) == seed
            check(answer, seed, oracle)
        assert [match["id"] for match in query(client, 0, identity="van")["matches"]] == [ids[0]]
        undone = client.get("/gallery/deletions").json()["deletions"]
        assert len(undone) == 3  # what was deleted before can still be brought back
    with serve(after) as client:
        assert listed(client) == records


def test_no_query_fails_and_no_answer_is_mixed_while_it_happens(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]]
) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    with serve(after) as client:
        over = threading.Event()
        answers: list[tuple[int, Any]] = []
        failures: list[str] = []

        def ask(first: int) -> None:
            seed = first
            while not over.is_set():
                response = client.post("/query", files={"image": png(seed)}, data={"top_k": "40"})
                if response.status_code != 200:
                    failures.append(response.text)
                    return
                assert response.headers["SANet-Model"].startswith(response.json()["query"]["model"])
                answers.append((seed, response.json()))
                seed = (seed + 1) % 20

        def change() -> None:
            """Enrols, changes and deletes for as long as it lasts."""
            number = 0
            while not over.is_set():
                enrolled = client.post("/gallery", files={"images": (f"{30 + number % 5}.png", png(30 + number % 5))})
                id_ = enrolled.json()["results"][0]["id"]
                patched = client.patch(f"/gallery/{id_}", json={"identity": str(number)})
                deleted = client.delete(f"/gallery/{id_}")
                if (enrolled.status_code, patched.status_code, deleted.status_code) != (201, 200, 204):
                    failures.append(f"{enrolled.text} {patched.text} {deleted.text}")
                    return
                number += 1

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in (0, 10)] + [threading.Thread(target=change)]
        for thread in threads:
            thread.start()
        job = finished(client)
        for seed in range(5):  # and some answers more
            query(client, seed)
        over.set()
        for thread in threads:
            thread.join()
        assert (job["state"], failures) == ("done", [])
        models = [answer["query"]["model"] for _, answer in answers]
        assert models[0] == fingerprint(before)
        assert models[-1] == fingerprint(after)
        for seed, answer in answers:
            check(answer, seed, oracle)
        assert client.get("/gallery").json()["total"] == 20
        assert query(client, 1)["searched"] == 20


def test_a_restart_in_the_middle_goes_on_where_it_was(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.kinds.reembedding.CHUNK_SIZE", 8)
    monkeypatch.setattr("index.gallery.reembedding.CHUNK_SIZE", 8)
    with serve(before) as client:
        enrol(client, *SEEDS)
        records = listed(client)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        assert reembeddings(client)[0]["done"] == 8
    with held_after(2, monkeypatch) as held, serve(after) as client:
        assert finished(client)["state"] == "done" if not held.reached.wait(0) else True
        (job,) = reembeddings(client)
        assert (job["state"], job["done"], job["total"]) == ("done", 20, 20)
        assert held.num_free == 0  # the first eight were not embedded again
        assert listed(client) == records
        check(query(client, 0, top_k=20), 0, oracle)
        assert query(client, 0)["query"]["model"] == fingerprint(after)


def test_cancelled_it_leaves_the_old_one_until_it_is_started_by_hand(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    generation = next_generation(after.data_dir, ModelKey(fingerprint(after), "float32")).folder(after.data_dir)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        assert (generation / "gallery.sqlite").exists()
        (job,) = reembeddings(client)
        client.delete(job["url"])
        assert finished(client)["state"] == "cancelled"
        while generation.exists():
            pass
        check(query(client, 4, top_k=20), 4, oracle)
        assert query(client, 4)["query"]["model"] == fingerprint(before)
    with serve(after) as client:  # not by itself
        assert [job["state"] for job in reembeddings(client)] == ["cancelled"]
        assert client.get("/model").json()["fingerprint"] == fingerprint(before)
        assert client.get("/model").json()["next_model"]["state"] == "cancelled"
        assert ended(client, create(client, kind="reembed"))["state"] == "done"
        assert query(client, 4)["query"]["model"] == fingerprint(after)
        check(query(client, 4, top_k=20), 4, oracle)


def test_set_back_to_the_old_checkpoint_the_half_made_one_is_removed(
    before: Settings, after: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with serve(before) as client:
        enrol(client, *SEEDS)
    generation = next_generation(after.data_dir, ModelKey(fingerprint(after), "float32")).folder(after.data_dir)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
    assert generation.exists()
    with serve(before) as client:
        job = finished(client)  # it has nothing to do any more
        assert (job["state"], job["report"]["model"]) == ("done", fingerprint(before))
        while generation.exists():
            pass
        assert query(client, 4)["searched"] == 20
    assert f"{generation} was removed" in caplog.text


def test_where_nothing_is_of_another_model_it_is_done_at_once(before: Settings) -> None:
    with serve(before) as client:
        enrol(client, 1, 2)
        job = ended(client, create(client, kind="reembed"))
        assert (job["state"], job["done"], job["total"]) == ("done", 0, 0)
        assert job["report"]["searchable"] == 2
        assert reembeddings(client) == [job]


def test_in_a_folder_without_a_copy_of_the_checkpoint_the_new_one_serves_at_once(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(before) as client:
        ids = [result["id"] for result in enrol(client, *SEEDS)["results"]]
    shutil.rmtree(before.data_dir / "checkpoints")
    with held_after(0, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        answer = client.post("/query", files={"image": png(1)}).json()
        assert (answer["query"]["model"], answer["searched"]) == (fingerprint(after), 0)
        assert "20 records were embedded by another model" in answer["warnings"][1]
        assert client.delete(f"/gallery/{ids[7]}").status_code == 204
        assert client.patch(f"/gallery/{ids[8]}", json={"identity": "eight"}).status_code == 200
        held.go_on.set()
        job = finished(client)
        assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 20, 20, 0)
        answer = query(client, 1, top_k=20)
        assert answer["searched"] == 19
        check(answer, 1, oracle)
        assert [match["id"] for match in query(client, 1, identity="eight")["matches"]] == [ids[8]]


def test_another_precision_is_another_model(before: Settings) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    with serve(before.model_copy(update={"precision": "bf16"})) as client:
        assert finished(client)["report"]["precision"] == "bf16"
        assert client.get("/model").json()["precision"] == "bf16"
        assert query(client, 1)["searched"] == 20
    with serve(before.model_copy(update={"precision": "float32"})) as client:
        assert finished(client)["report"]["precision_before"] == "bf16"
        assert client.get("/model").json()["precision"] == "float32"
        assert query(client, 1)["matches"][0]["distance"] == pytest.approx(0, abs=1e-3)


def image_of(settings: Settings, client: TestClient, id_: str) -> Path:
    content = content_hash(client.get(f"/gallery/{id_}/frame").content)
    return settings.data_dir / "images" / content[:2] / content


def test_records_whose_image_is_lost_are_rejected_and_stay_listed(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]]
) -> None:
    with serve(before) as client:
        ids = [result["id"] for result in enrol(client, *SEEDS)["results"]]
        records = listed(client)
        lost, damaged = image_of(before, client, ids[3]), image_of(before, client, ids[12])
    lost.unlink()
    damaged.write_bytes(b"not the image any more")
    with serve(after) as client:
        job = finished(client)
        assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 20, 20, 2)
        assert (job["report"]["searchable"], job["report"]["not_embedded"]) == (18, 2)
        found = {row["name"]: row["reason"] for row in rejections(client, job)}
        assert list(found) == ["3.png", "12.png"]
        assert f"the record {ids[3]}: the image" in found["3.png"]
        assert "missing" in found["3.png"]
        assert "damaged" in found["12.png"]
        assert listed(client) == records
        assert client.get(f"/gallery/{ids[3]}").json()["model"] == fingerprint(before)
        check(query(client, 3, top_k=20), 3, oracle)
        # Mended as ever.
        assert enrol(client, 3, 12)["enrolled"] == 2
        assert query(client, 3)["searched"] == 20
        assert query(client, 3)["matches"][0]["id"] == ids[3]
    with serve(after) as client:
        assert len(reembeddings(client)) == 1


def test_where_no_image_can_be_read_the_old_one_goes_on(before: Settings, after: Settings) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    (before.data_dir / "images").rename(before.data_dir / "elsewhere")
    with serve(after) as client:
        job = finished(client)
        assert (job["state"], job["error"].partition(",")[0]) == ("failed", "no image could be read and embedded")
        assert query(client, 3)["query"]["model"] == fingerprint(before)
        assert query(client, 3)["searched"] == 20
    shutil.rmtree(before.data_dir / "images")
    (before.data_dir / "elsewhere").rename(before.data_dir / "images")
    with serve(after) as client:
        assert finished(client)["state"] == "done"
        assert query(client, 3)["query"]["model"] == fingerprint(after)


def test_an_enrolment_under_way_while_it_happens_is_embedded_by_the_new_one(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        engine = client.app.state.engine  # type: ignore[attr-defined] # the first that served
        enrol_of_old, embedded = engine.gallery.enrol, threading.Event()
        may_store = threading.Event()

        def slow(enrolments: Any) -> Any:
            embedded.set()
            assert may_store.wait(60)
            return enrol_of_old(enrolments)

        monkeypatch.setattr(engine.gallery, "enrol", slow)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(enrol(client, 35)))
        thread.start()
        assert embedded.wait(30)
        held.go_on.set()
        assert finished(client)["state"] == "done"
        may_store.set()
        thread.join()
        assert answers[0]["enrolled"] == 1
        answer = query(client, 35, top_k=40)
        assert (answer["searched"], answer["matches"][0]["source"]) == (21, "35.png")
        check(answer, 35, oracle)


@contextmanager
def held_bodies(
    monkeypatch: pytest.MonkeyPatch, *modules: str
) -> Iterator[tuple[threading.Semaphore, threading.Event]]:
    """Forms whose bodies are not read to their end before the event is set; the semaphore counts those that wait."""
    waiting, may_end = threading.Semaphore(0), threading.Event()

    @asynccontextmanager
    async def slow(request: Any, model: Any) -> AsyncIterator[Any]:
        async with read_form(request, model) as form:
            waiting.release()
            await asyncio.to_thread(may_end.wait, 60)
            yield form

    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(f"{module}.read_form", slow)
        yield waiting, may_end
        may_end.set()


def test_requests_whose_bodies_outlast_what_served_are_answered_by_what_serves(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.serving._PATIENCE_S", 0.05)
    with serve(before) as client:
        enrol(client, *SEEDS)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        with (
            held_bodies(monkeypatch, "service.enrol", "service.query") as (waiting, may_end),
            ThreadPoolExecutor(3) as threads,
        ):
            enrolled = threads.submit(enrol, client, 35)
            found = threads.submit(query, client, 5, top_k=40)
            of_boxes = threads.submit(query, client, 6, box=["0,0,20,20", "4,4,30,30"])
            for _ in range(3):
                assert waiting.acquire(timeout=30)
            serving = client.app.state.engine.serving  # type: ignore[attr-defined]
            held.go_on.set()
            assert finished(client)["state"] == "done"
            while serving.has_replaced:
                time.sleep(0.01)
            may_end.set()
            assert enrolled.result()["enrolled"] == 1
            assert found.result()["query"]["model"] == fingerprint(after)
            assert len(of_boxes.result()["answers"]) == 2
        check(found.result(), 5, oracle)
        check(query(client, 35, top_k=40), 35, oracle)


def test_a_deletion_from_before_that_is_undone_is_embedded_anew(
    before: Settings, after: Settings, oracle: dict[str, NDArray[np.float32]]
) -> None:
    with serve(before) as client:
        ids = [result["id"] for result in enrol(client, *SEEDS)["results"]]
        for id_ in ids[4:7]:
            assert client.delete(f"/gallery/{id_}").status_code == 204
        image_of(before, client, ids[9]).unlink()
    with serve(after) as client:
        assert finished(client)["report"]["not_embedded"] == 1
        enrol(client, 9)  # mends it: what the job said is more than there is now
        for deletion in client.get("/gallery/deletions").json()["deletions"][:2]:
            num_jobs = len(reembeddings(client))
            assert client.post(f"/gallery/deletions/{deletion['id']}/undo").json()["restored"] == 1
            assert len(reembeddings(client)) == num_jobs + 1
            assert finished(client)["report"]["not_embedded"] == 0
        answer = query(client, 5, top_k=40)
        assert (answer["searched"], answer["matches"][0]["id"]) == (19, ids[5])
        check(answer, 5, oracle)
        num_jobs = len(reembeddings(client))
        client.delete(f"/gallery/{ids[0]}")  # of the model that serves: nothing is to be done
        deletion = client.get("/gallery/deletions").json()["deletions"][0]
        assert client.post(f"/gallery/deletions/{deletion['id']}/undo").json()["restored"] == 1
        assert len(reembeddings(client)) == num_jobs


def test_what_served_before_leaves_the_memory(
    before: Settings, after: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(before) as client:
        enrol(client, *SEEDS)
    with held_after(1, monkeypatch) as held, serve(after) as client:
        assert held.reached.wait(30)
        gallery = weakref.ref(client.app.state.engine.gallery)  # type: ignore[attr-defined]
        query(client, 1)
        gc.disable()
        try:
            held.go_on.set()
            assert finished(client)["state"] == "done"
            end = time.monotonic() + 30
            while gallery() is not None:
                assert time.monotonic() < end
                time.sleep(0.01)
        finally:
            gc.enable()


def test_the_generation_is_made_again_for_a_model_that_serves_no_longer(before: Settings, after: Settings) -> None:
    for settings in (before, after, before, after):
        with serve(settings) as client:
            enrol(client, 1, 2, 3)
            if settings is not before or reembeddings(client):
                assert finished(client)["state"] == "done"
            assert query(client, 1)["query"]["model"] == fingerprint(settings)
            assert query(client, 1)["searched"] == 3
