import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.aligned_view import aligned_view
from model.build import build_network
from model.checkpoint import annotate_checkpoint, load_checkpoint, save_checkpoint
from model.config import SANetConfig
from model.embedder import Embedder
from model.image import decode_image
from model.preprocessing import Preprocessing
from model.theta import turn_of
from service.settings import Settings
from tests.conftest import picture, png
from tests.service.conftest import enrol, query, serve

METADATA = json.dumps(
    [
        {"identity": "a", "camera": "north", "captured_at": "2026-05-01T12:00:00+02:00", "tags": ["red", "van"]},
        {"identity": "a", "camera": "south", "captured_at": "2026-05-01T11:00:00Z", "tags": ["red"]},
        {"identity": "b", "camera": "north", "latitude": 50.0, "longitude": 8.0},
        {},
    ]
)


def names(answer: Any) -> list[str | None]:
    return [match["identity"] for match in answer["matches"]]


def test_an_empty_gallery_has_no_matches(client: TestClient) -> None:
    answer = query(client, 1)
    assert answer["matches"] == []
    assert answer["searched"] == 0
    assert answer["decision"] == "uncalibrated"


def test_distances_are_euclidean_and_sorted(client: TestClient, small_checkpoint: Path) -> None:
    enrolled = enrol(client, *range(20))
    ids = [result["id"] for result in enrolled["results"]]
    embedder = Embedder(load_checkpoint(small_checkpoint))
    gallery = embedder.embed([picture(seed) for seed in range(20)]).embedding.astype(np.float64)
    wanted = embedder.embed([picture(99)]).embedding[0]
    distances = np.sqrt(((gallery - wanted) ** 2).sum(axis=1))

    answer = query(client, 99, top_k=7)

    order = np.argsort(distances)[:7]
    assert [match["id"] for match in answer["matches"]] == [ids[i] for i in order]
    assert [match["rank"] for match in answer["matches"]] == list(range(1, 8))
    np.testing.assert_allclose([match["distance"] for match in answer["matches"]], distances[order], rtol=1e-5)
    assert answer["searched"] == 20
    assert all(match["probability"] is None for match in answer["matches"])


def test_the_answer_shows_what_the_network_saw(client: TestClient, small_checkpoint: Path) -> None:
    embedder = Embedder(load_checkpoint(small_checkpoint))
    theta = embedder.embed([picture(5)]).theta[0]

    seen = query(client, 5)["query"]

    np.testing.assert_allclose(seen["theta"], theta, atol=1e-5)
    assert np.abs(theta - np.eye(2, 3)).max() > 0.01  # the small network does turn
    assert (seen["rotation_deg"], seen["mirrored"]) == pytest.approx(turn_of(theta), abs=1e-3)
    assert seen["model"] == embedder.card.fingerprint
    header, _, payload = seen["aligned_view"].partition(",")
    assert header == "data:image/jpeg;base64"
    view = decode_image(base64.b64decode(payload))
    assert view.media_type == "image/jpeg"
    card = embedder.card
    expected = aligned_view(card.preprocessing(picture(5)), theta, card.config, card.preprocessing)
    assert np.abs(view.pixels.astype(int) - expected).mean() < 4  # JPEG


def test_the_view_of_an_aligned_input_shows_the_columns_that_the_network_sees(tmp_path: Path) -> None:
    config = SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input", num_columns=2)
    preprocessing = Preprocessing(64, mean=(0.2, 0.4, 0.6), resize="pad")
    path = tmp_path / "aligned.safetensors"
    save_checkpoint(path, build_network(config, preprocessing), preprocessing, {"trained": False, "data": None})
    with serve(Settings(checkpoint=path, data_dir=tmp_path / "data", device="cpu")) as client:
        id_ = enrol(client, 5)["results"][0]["id"]
        views = [
            base64.b64decode(query(client, 5)["query"]["aligned_view"].partition(",")[2]),
            client.get(f"/gallery/{id_}/aligned").content,
        ]
    for view in views:
        pixels = decode_image(view).pixels.astype(int)
        assert pixels.shape == (64, 64, 3)
        beside = np.concatenate([pixels[:, :14], pixels[:, 50:]], axis=1)
        assert np.abs(beside - (51, 102, 153)).max() < 8  # JPEG
        assert np.abs(pixels[24:40, 24:40] - (51, 102, 153)).max() > 40


def test_a_box_in_a_frame_is_the_crop(client: TestClient) -> None:
    frame = picture(3, 200, 150)
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    crop = io.BytesIO()
    Image.fromarray(frame[20:60, 30:90]).save(crop, "PNG")
    enrolled = client.post("/gallery", files={"images": ("crop.png", crop.getvalue())}).json()

    files = {"image": ("frame.png", buffer.getvalue())}
    match = client.post("/query", files=files, data={"box": "30,20,60,40"}).json()["matches"][0]

    assert match["id"] == enrolled["results"][0]["id"]
    assert match["distance"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("conditions", "identities"),
    [
        ({}, {"a", "b", None}),
        ({"camera": "north"}, {"a", "b"}),
        ({"camera": ["north", "south"]}, {"a", "b"}),
        ({"camera": "west"}, set()),
        ({"tag": ["red", "van"]}, {"a"}),
        ({"tag": "red"}, {"a"}),
        ({"identity": "b"}, {"b"}),
        ({"captured_after": "2026-05-01T10:00:00Z", "captured_before": "2026-05-01T11:00:00Z"}, {"a"}),
        ({"captured_before": "2026-05-01T10:00:00Z"}, set()),
        ({"near": "50.001,8,200"}, {"b"}),
        ({"near": "50.001,8,100"}, set()),
    ],
)
def test_conditions_hold_before_ranking(
    client: TestClient, conditions: dict[str, Any], identities: set[str | None]
) -> None:
    enrol(client, 1, 2, 3, 4, metadata=METADATA)
    answer = query(client, 9, **conditions)
    assert set(names(answer)) == identities
    assert answer["searched"] == len(answer["matches"])


def test_grouping_gives_each_identity_once(client: TestClient) -> None:
    enrol(client, 1, 2, 3, 4, metadata=METADATA)
    plain = query(client, 2)
    grouped = query(client, 2, group_by="identity")
    assert sorted(map(str, names(plain))) == ["None", "a", "a", "b"]
    assert sorted(map(str, names(grouped))) == ["None", "a", "b"]
    nearest_a = next(match for match in plain["matches"] if match["identity"] == "a")
    assert nearest_a["id"] in {match["id"] for match in grouped["matches"]}


def test_top_k_beyond_the_gallery_gives_all_of_it(client: TestClient) -> None:
    enrol(client, 1, 2, 3)
    assert len(query(client, 1, top_k=1000)["matches"]) == 3


def test_an_untrained_model_says_so_in_every_answer(client: TestClient) -> None:
    enrolled = enrol(client, 1)
    answer = query(client, 1)
    for body in (enrolled, answer, client.get("/model").json()):
        assert "untrained" in body["warnings"][0]
    record = f"/gallery/{enrolled['results'][0]['id']}"
    for path in ("/healthz", "/gallery", record, f"{record}/image", "/nowhere"):
        assert client.get(path).headers["SANet-Model"].endswith("; untrained")


def test_time_is_told_part_by_part(client: TestClient) -> None:
    timing = query(client, 1)["timing_ms"]
    assert set(timing) == {"decode", "embed", "search", "total"}
    assert timing["total"] >= timing["decode"] + timing["embed"] + timing["search"] > 0


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"top_k": "0"}, "top_k: Input should be greater than or equal to 1"),
        ({"top_k": "1000000000"}, "top_k: Input should be less than or equal to 1000"),
        ({"top_k": "x"}, "top_k: a whole number in the digits 0-9 was expected, not 'x'"),
        ({"box": "1,2,3"}, "box: a box is four numbers"),
        ({"box": "nan,0,10,10"}, "box: a box is four numbers"),
        ({"box": "0,0,0,10"}, "box: a box needs a width and a height above 0"),
        ({"box": "500,500,10,10"}, "lies outside the image of 60 x 40 pixels"),
        ({"captured_after": "yesterday"}, "captured_after: a time is RFC 3339 with its zone"),
        ({"captured_after": "2026-05-01T10:00:00"}, "captured_after: a time is RFC 3339 with its zone"),
        ({"captured_after": "1700000000"}, "captured_after: a time is RFC 3339 with its zone"),
        ({"near": "1,2"}, "near: near is lat,lon,radius_m"),
        ({"near": "91,0,5"}, "near: near needs -90 <= lat <= 90"),
        ({"near": "nan,0,5"}, "near: near is lat,lon,radius_m"),
        ({"group_by": "camera"}, "group_by: Input should be 'identity'"),
        ({"camera": "c" * 201}, "camera.0: a name has at most 200 characters, not 201"),
        *[
            ({name: ""}, f"{name}: it is empty: leave the field out, or give it a value")
            for name in ("box", "top_k", "camera", "tag", "identity", "captured_after", "near", "group_by")
        ],
        ({"top_k": ["1", "5"]}, "top_k: it is there more than once"),
        ({"box": ["0,0,9,9"] * 256, "top_k": "196"}, "256 boxes with top_k=196 may have more than 50,000 matches"),
        ({"box": ["0,0,9,9"] * 257}, "box: at most 256 were expected, 257 came"),
        ({"box": ["0,0,9,9", ""]}, "box: it is empty: leave the field out, or give it a value"),
        ({"id": "x"}, "id.0: an id has 32 digits of 0-9 and a-f, not 'x'"),
        ({"surprise": "1"}, "surprise: there is no such field"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, form: dict[str, Any], said: str) -> None:
    response = client.post("/query", files={"image": ("1.png", png(1))}, data=form)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert said in response.json()["detail"]


def test_a_query_needs_an_image(client: TestClient) -> None:
    response = client.post("/query", files={"top_k": (None, "1")})
    assert response.status_code == 422
    assert response.json()["detail"] == (
        "body: give an image (curl: -F image=@FILE) or the id of a record (-F record=ID): neither came"
    )


def test_a_query_string_is_not_overlooked(client: TestClient) -> None:
    response = client.post("/query?top_k=1", files={"image": png(1)})
    assert response.status_code == 422
    assert response.json()["detail"] == "top_k: send it as a form field"


def test_two_images_are_not_one_query(client: TestClient) -> None:
    response = client.post("/query", files=[("image", png(1)), ("image", png(2))])
    assert response.status_code == 422
    assert response.json()["detail"] == "image: it is there more than once: give it one value"


def test_queries_are_not_stored(client: TestClient, tmp_path: Path) -> None:
    query(client, 1)
    assert client.get("/gallery").json()["total"] == 0
    assert not list((tmp_path / "data" / "images").rglob("*"))


@pytest.mark.parametrize(("cmc1", "warned"), [(0.5, True), (0.9, False), (0.95, False)])
def test_re_ranking_that_was_measured_to_be_worse_is_warned_of(
    small_checkpoint: Path, tmp_path: Path, cmc1: float, warned: bool
) -> None:
    path = Path(shutil.copy(small_checkpoint, tmp_path / "evaluated.safetensors"))
    evaluation = {"dataset": "Some Set", "cmc": {"1": 0.9}, "reranked": {"cmc": {"1": cmc1}, "map": 0.1}}
    annotate_checkpoint(path, evaluation=evaluation)
    with serve(Settings(checkpoint=path, data_dir=tmp_path / "data", device="cpu")) as client:
        said = query(client, 1, rerank="k_reciprocal")["warnings"]
        worse = "re-ranking was measured to be worse for this model: CMC-1 50.0% instead of 90.0% on Some Set"
        assert any(warning.startswith(worse) for warning in said) is warned
        assert not any("re-ranking" in warning for warning in query(client, 1)["warnings"])
        assert not any("re-ranking" in warning for warning in query(client, 1, expand=2)["warnings"])


def test_re_ranking_is_judged_by_map_where_the_model_was_not_scored_at_rank_1(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(small_checkpoint, tmp_path / "evaluated.safetensors"))
    evaluation = {"dataset": "Some Set", "cmc": {"3": 0.9}, "map": 0.8, "reranked": {"cmc": {"3": 0.9}, "map": 0.7}}
    annotate_checkpoint(path, evaluation=evaluation)
    with serve(Settings(checkpoint=path, data_dir=tmp_path / "data", device="cpu")) as client:
        assert "mAP 70.0% instead of 80.0%" in query(client, 1, rerank="k_reciprocal")["warnings"][-1]
