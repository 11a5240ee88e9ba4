"""Real drone photographs through a real service. `python -m benchmarks.uav_frames` does it with all of them."""

from pathlib import Path

from benchmarks.uav_frames import measure, read_vehicles
from model.config import SANetConfig
from training.initialize import initialize


def test_every_real_vehicle_finds_itself(uav_frames: Path, tmp_path: Path) -> None:
    # From the first labelled box on, and the one whose box overshoots its frame by a pixel.
    vehicles = read_vehicles(uav_frames, limit=24)
    vehicles += [v for v in read_vehicles(uav_frames) if v.path.name == "MOS74.jpg"]
    assert any(str(vehicle.box) == "450,513,38,34" for vehicle in vehicles)
    checkpoint = tmp_path / "untrained.safetensors"
    initialize(checkpoint, SANetConfig("resnet18"))

    for row in measure(checkpoint, vehicles, tmp_path, "float32")["rows"]:
        assert row["num_queries"] == len(vehicles) > 40
        assert row["own_rank1"] == len(vehicles)
        assert row["with_aligned_view_and_theta"] == len(vehicles)
        assert row["own_to_rank2"] < 1e-3
