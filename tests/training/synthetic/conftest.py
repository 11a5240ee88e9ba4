"""One window and one fleet for all tests of the generator: a window takes a second, a vehicle 20 ms."""

import pytest

from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle


@pytest.fixture(scope="session")
def rasterizer() -> Rasterizer:
    return Rasterizer()


@pytest.fixture(scope="session")
def fleet() -> list[Vehicle]:
    return [build_vehicle(5, number) for number in range(200)]
