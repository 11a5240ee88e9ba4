import pytest
from fastapi.testclient import TestClient

from tests.conftest import png
from tests.service.conftest import enrol, query


@pytest.mark.parametrize(
    "refinement", [{"rerank": "k_reciprocal"}, {"expand": 2}, {"rerank": "k_reciprocal", "expand": 1}]
)
def test_a_refined_ranking_says_what_it_ranked_by(client: TestClient, refinement: dict[str, object]) -> None:
    enrol(client, *range(6))
    plain, refined = query(client, 2), query(client, 2, **refinement)
    distances = {match["id"]: match["distance"] for match in plain["matches"]}
    assert {match["id"] for match in refined["matches"]} == distances.keys()
    assert {match["id"]: match["distance"] for match in refined["matches"]} == pytest.approx(distances, abs=1e-6)
    ranked_by = [match["ranked_by"] for match in refined["matches"]]
    assert ranked_by == sorted(ranked_by)
    assert [match["rank"] for match in refined["matches"]] == list(range(1, 7))
    assert [match["ranked_by"] for match in plain["matches"]] == [None] * 6


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        ({"rerank": "yes"}, "k_reciprocal"),
        ({"expand": "51"}, "less than or equal to 50"),
        ({"expand": "-1"}, "greater than or equal to 0"),
        ({"rerank": "k_reciprocal", "group_by": "identity"}, "group_by goes with plain distances only"),
    ],
)
def test_what_cannot_be_done_is_refused(client: TestClient, form: dict[str, str], complaint: str) -> None:
    response = client.post("/query", files={"image": ("a.png", png(1), "image/png")}, data=form)
    assert response.status_code == 422
    assert complaint in response.json()["detail"]
