import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from model import export
from model.build import build_network
from model.checkpoint import load_checkpoint, save_checkpoint
from model.config import SANetConfig
from model.embedder import Embedder
from model.embeddings import Embeddings
from model.export import ExportError, onnx_model, run_onnx
from model.preprocessing import Preprocessing
from tests.conftest import picture


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the kind that ships: its input is turned."""
    preprocessing = Preprocessing(size_px=64)
    network = build_network(SANetConfig("efficientnet_lite0", aligned="input", transform="rotation"), preprocessing)
    path = tmp_path_factory.mktemp("export") / "turned.safetensors"
    save_checkpoint(path, network, preprocessing, {"trained": False, "data": None})
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> bytes:
    return onnx_model(load_checkpoint(checkpoint))


@pytest.mark.parametrize("num_images", [1, 3])
def test_onnx_runtime_embeds_as_the_embedder_does(exported: bytes, checkpoint: Path, num_images: int) -> None:
    loaded = load_checkpoint(checkpoint)
    images = np.stack([loaded.card.preprocessing(picture(seed)) for seed in range(num_images)])
    expected, found = Embedder(loaded).embed_prepared(images), run_onnx(exported, images)
    assert found.embedding.shape == (num_images, loaded.card.config.embedding_dim)
    assert not np.allclose(found.theta, np.eye(2, 3), atol=0.01)
    np.testing.assert_allclose(found.theta, expected.theta, atol=1e-3)
    np.testing.assert_allclose(found.embedding, expected.embedding, atol=1e-4)


def test_the_file_says_which_checkpoint_it_is(exported: bytes, checkpoint: Path) -> None:
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    card = load_checkpoint(checkpoint).card
    assert metadata["fingerprint"] == card.fingerprint
    assert json.loads(metadata["preprocessing"])["size_px"] == 64
    assert json.loads(metadata["config"])["backbone"] == "efficientnet_lite0"
    (images,) = model.graph.input
    dims = [dim.dim_param or dim.dim_value for dim in images.type.tensor_type.shape.dim]
    assert dims == ["n", 64, 64, 3]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["model.export", *map(str, arguments)])
    return export.main()


def test_a_triton_repository_is_written(
    exported: bytes,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(export, "onnx_model", lambda _: exported)
    assert run(monkeypatch, "--checkpoint", checkpoint, "--triton", tmp_path / "models", "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert Path(written["file"]).read_bytes() == exported
    config = (tmp_path / "models" / "sanet" / "config.pbtxt").read_text()
    assert "dims: [ 64, 64, 3 ]" in config
    assert f"dims: [ {load_checkpoint(checkpoint).card.config.embedding_dim} ]" in config


def test_a_graph_that_embeds_otherwise_is_not_written(
    exported: bytes,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def other(content: bytes, images: NDArray[np.uint8]) -> Embeddings:
        found = run_onnx(content, images)
        return found._replace(embedding=found.embedding * np.float32(1.01))

    loaded = load_checkpoint(checkpoint)
    export.require_same(loaded, exported)
    monkeypatch.setattr(export, "run_onnx", other)
    with pytest.raises(ExportError, match="embeddings differ by"):
        export.require_same(loaded, exported)
    monkeypatch.setattr(export, "onnx_model", lambda loaded: export.require_same(loaded, exported))
    assert run(monkeypatch, "--checkpoint", checkpoint, "--out", tmp_path / "m.onnx") == 1
    assert "nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_missing_extra_and_a_missing_checkpoint_are_one_line(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--checkpoint", tmp_path / "none", "--out", tmp_path / "m.onnx") == 1
    assert "none" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(monkeypatch, "--checkpoint", checkpoint, "--out", tmp_path / "m.onnx") == 1
    assert "pip install 'sanet-retrieval[export]'" in capsys.readouterr().err
