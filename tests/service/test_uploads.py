import pytest
from fastapi.testclient import TestClient

from service.uploads import Uploads, UploadsBusyError
from tests.conftest import png
from tests.service.conftest import enrol, query


def test_room_is_given_back_whatever_happens() -> None:
    uploads = Uploads(100)
    with (
        uploads.admit(60),
        uploads.admit(40),
        pytest.raises(UploadsBusyError, match="an upload of up to 1 bytes came, and those under way leave room for 0"),
        uploads.admit(1),
    ):
        pass
    with pytest.raises(ZeroDivisionError), uploads.admit(100):
        raise ZeroDivisionError
    with uploads.admit(100):
        pass


def test_an_upload_that_finds_no_room_is_refused_before_its_body_is_read(client: TestClient) -> None:
    engine = client.app.state.engine  # type: ignore[attr-defined]
    with engine.uploads.admit(engine.uploads.num_bytes):
        # Nothing of this body could be used: that it is not called malformed shows that nobody looked.
        answer = client.post("/gallery", content=b"x", headers={"content-type": "multipart/form-data; boundary=X"})
    assert (answer.status_code, answer.json()["title"]) == (429, "Uploads busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert "nothing of it was read" in answer.json()["detail"]
    assert enrol(client, 1)["enrolled"] == 1


def test_a_full_queue_refuses_enrolments_and_serves_queries(client: TestClient) -> None:
    engine = client.app.state.engine  # type: ignore[attr-defined]
    enrol(client, 1)
    with engine.worker.admit(engine.worker.capacity, urgent=False):
        answer = client.post("/gallery", files={"images": png(2)})
        assert (answer.status_code, answer.json()["title"]) == (429, "Queue full")
        assert query(client, 1)["searched"] == 1
    assert enrol(client, 2)["enrolled"] == 1
