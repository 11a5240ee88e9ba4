from pathlib import Path

import pytest
import torch

from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import ARCHITECTURES
from model.preprocessing import Preprocessing
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, serve


# One whose embedding is several branches, and one that does more in training than here.
@pytest.mark.parametrize("name", ["ram", "vscr"])
def test_a_compared_methods_checkpoint_is_served_like_sanets(name: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = build_network(ARCHITECTURES[name]("resnet18", unit_length=True), Preprocessing(64)).eval()
    save_checkpoint(tmp_path / "c.safetensors", network, Preprocessing(64), {"trained": False, "data": None})
    settings = Settings(checkpoint=tmp_path / "c.safetensors", data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        model = client.get("/model").json()
        assert model["config"]["architecture"] == name
        assert model["embedding_dim"] == network.config.embedding_dim
        assert enrol(client, 1, 2)["enrolled"] == 2
        answer = client.post("/query", files={"image": ("q.png", png(2), "image/png")})
        assert answer.status_code == 200
        found = answer.json()
        assert found["query"]["theta"] == [[1, 0, 0], [0, 1, 0]]
        assert found["query"]["rotation_deg"] == 0
        (first, second) = found["matches"]
        assert first["distance"] == pytest.approx(0, abs=1e-3)
        assert second["distance"] > 1e-3
