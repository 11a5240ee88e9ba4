from dataclasses import replace

import numpy as np
import pytest

from training.synthetic.scenes import neighbours
from training.synthetic.scenes.neighbours import draw_neighbours, draw_training_neighbours
from training.synthetic.settings import Settings, TrainingSettings
from training.synthetic.vehicles.training_vehicle import build_training_vehicle
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle

NUM = 400


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch, fleet: list[Vehicle]) -> None:
    def one(seed: int, number: int) -> Vehicle:
        return fleet[number % len(fleet)]

    monkeypatch.setattr(neighbours, "_bystander", one)


def middle(vehicle: Vehicle) -> np.ndarray:
    points = vehicle.mesh.points
    found: np.ndarray = (points.min(0) + points.max(0))[:2] / 2
    return found


@pytest.mark.usefixtures("_quick")
def test_neighbours_are_as_common_as_the_settings_say(fleet: list[Vehicle]) -> None:
    settings = replace(Settings(), neighbour=0.4)
    counts = {"left": 0, "right": 0, "ahead": 0, "behind": 0}
    for seed in range(NUM):
        for one in draw_neighbours(fleet[0], settings, 5, np.random.default_rng(seed)):
            x, y = middle(one)
            aside = abs(y) > 1.2
            counts[("left" if y > 0 else "right") if aside else ("ahead" if x > 0 else "behind")] += 1
    for place, share in (("left", 0.4), ("right", 0.4), ("ahead", 0.2), ("behind", 0.2)):
        assert counts[place] / NUM == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / NUM))


@pytest.mark.usefixtures("_quick")
def test_neighbours_stand_apart_on_the_ground_and_almost_parallel(fleet: list[Vehicle]) -> None:
    settings = replace(Settings(), neighbour=1.0)
    for seed in range(60):
        vehicle = fleet[seed]
        placed = draw_neighbours(vehicle, settings, 5, np.random.default_rng(seed))
        assert len(placed) >= 2
        for one in placed:
            hull = one.hulls[0]
            assert one.mesh.points[:, 2].min() == pytest.approx(0, abs=0.1)
            inside = (np.abs(hull[:, :2]) < [vehicle.shape.length / 2, vehicle.shape.width / 2]).all(1)
            assert not inside.any()
            long, wide = np.ptp(hull[:, :2], axis=0)
            assert long == pytest.approx(one.shape.length, abs=0.6)
            assert wide == pytest.approx(one.shape.width, abs=2.0)
            gap_x = np.abs(hull[:, 0]).min() - vehicle.shape.length / 2
            gap_y = np.abs(hull[:, 1]).min() - vehicle.shape.width / 2
            assert 0 < max(gap_x, gap_y) < 2.5


@pytest.mark.usefixtures("_quick")
def test_nobody_stands_about_where_none_should(fleet: list[Vehicle]) -> None:
    settings = replace(Settings(), neighbour=0.0)
    assert not any(draw_neighbours(fleet[0], settings, 5, np.random.default_rng(seed)) for seed in range(50))


def test_bystanders_are_of_the_seed_and_no_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[int, int]] = []

    def note(seed: int, number: int, stream: int = 0) -> Vehicle:
        built.append((seed, stream))
        return build_vehicle(seed, number, stream)

    monkeypatch.setattr(neighbours, "build_vehicle", note)
    settings = replace(Settings(), neighbour=1.0)
    mine = build_vehicle(901, 0)
    for seed in (901, 902):  # whose bystanders no other test has drawn
        built.clear()
        placed = draw_neighbours(mine, settings, seed, np.random.default_rng(0))
        again = draw_neighbours(mine, settings, seed, np.random.default_rng(0))
        assert [one.picture.tobytes() for one in placed] == [one.picture.tobytes() for one in again]
        assert built == [(seed, 1)] * len(placed)
        assert len(placed) >= 2


def test_in_a_full_car_park_both_sides_are_taken_and_near(
    fleet: list[Vehicle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_training_bystander", lambda seed, number, plain: fleet[number % len(fleet)])
    gaps: dict[float, list[float]] = {0.0: [], 1.0: []}
    for crowded, found in gaps.items():
        settings = replace(TrainingSettings(), crowded=crowded)
        for seed in range(NUM):
            for one in draw_training_neighbours(fleet[0], settings, 5, np.random.default_rng(seed)):
                _, y = middle(one)
                if abs(y) > 1.2:
                    found.append(abs(y) - (fleet[0].shape.width + one.shape.width) / 2)
    assert len(gaps[1.0]) / NUM / 2 == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / NUM / 2))
    assert len(gaps[0.0]) / NUM / 2 == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / NUM / 2))
    assert np.median(gaps[1.0]) < 0.8 < np.median(gaps[0.0])
    assert min(gaps[1.0]) > 0


def test_bystanders_of_edition_2_are_no_identities(fleet: list[Vehicle]) -> None:
    settings = replace(TrainingSettings(), crowded=1.0)
    identities = {build_training_vehicle(5, number, settings.plain).shape for number in range(6)}
    placed = draw_training_neighbours(fleet[0], settings, 5, np.random.default_rng(1))
    assert placed
    assert not identities & {one.shape for one in placed}
