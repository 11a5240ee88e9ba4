"""What ships in `demo/`: data that can be scored, a gallery that can be enrolled, and a checkpoint."""

import hashlib
from pathlib import Path

from index.datasets.manifest import read_manifest
from index.datasets.task import plan_task
from index.gallery.bulk_enrolment import enrollable
from model.checkpoint import load_checkpoint
from model.image import read_image

DEMO = Path(__file__).resolve().parents[1] / "demo"
CHECKPOINT = DEMO / "sanet.safetensors"


def test_it_can_be_scored_and_enrolled() -> None:
    manifest = read_manifest(DEMO)
    task = plan_task(manifest)
    assert (len(task.queries), len(task.gallery), task.warnings) == (300, 150, ())
    assert enrollable(manifest) == list(task.gallery)
    assert {entry.split for entry in manifest.entries} == {"test"}  # nobody trained on it
    assert manifest.protocol.info["taken_from"]["dataset"] == "uav-synth"


def test_its_images_are_those_of_the_manifest_each_another_vehicle_or_view() -> None:
    manifest = read_manifest(DEMO)
    paths = [manifest.path_of(entry) for entry in manifest.entries]
    assert sorted(paths) == sorted(path for path in (DEMO / "images").rglob("*") if path.is_file())
    assert min(min(read_image(path).shape[:2]) for path in paths) >= 4
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 450


def test_the_checkpoint_is_a_trained_one_and_fits_into_the_repository() -> None:
    assert CHECKPOINT.stat().st_size < 64 * 2**20
    card = load_checkpoint(CHECKPOINT).card
    assert card.trained
    assert "halved_from" in card.training
