import numpy as np
import pytest

from tests.training.synthetic.solids import block, light_from
from training.synthetic.scenes import shadows as module
from training.synthetic.scenes.light import Light
from training.synthetic.scenes.plan import Plan
from training.synthetic.scenes.shadows import Shadows
from training.synthetic.vehicles.vehicle import Vehicle

CAR = block()  # 4 x 2 x 1.5 m
AREA = (np.array([-6.0, -6.0]), np.array([6.0, 6.0]))
LOW_SUN = light_from((1, 0, 1))  # 45 degrees above the horizon, ahead


def make(light: Light, neighbours: tuple[Vehicle, ...] = (), seed: int = 0) -> Shadows:
    return Shadows(CAR, neighbours, light, AREA, 24, np.random.default_rng(seed))


@pytest.fixture
def _nothing_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(shadow: Plan, random: np.random.Generator) -> Plan:
        return shadow

    monkeypatch.setattr(module, "_draw_far", none)


def at(*points: tuple[float, ...]) -> np.ndarray:
    return np.array(points, np.float32)


@pytest.mark.usefixtures("_nothing_far")
@pytest.mark.parametrize("turn", [0, 90, 200])
def test_a_shadow_lies_away_from_the_sun_as_long_as_the_box_is_high(turn: float) -> None:
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    shadows = make(light_from((cos, sin, 1)))
    ground = np.random.default_rng(0).uniform(-5.5, 5.5, (4000, 2))
    # By ray marching: the sun's ray from the ground, a centimetre at a time, meets the box or not.
    steps = np.arange(0, 1.5, 0.01)[:, None, None] * np.array([cos, sin])
    met = (np.abs(ground + steps) < [2, 1]).all(-1)
    shaded = met.any(0)
    nearly = np.zeros(len(ground), bool)
    for dx, dy in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)):
        nearly |= (np.abs(ground + np.array([dx, dy]) + steps) < [2, 1]).all(-1).any(0) != shaded
    share = shadows.sun_on_ground(ground.astype(np.float32))
    assert (shaded & ~nearly).sum() > 100
    assert share[shaded & ~nearly].max() < 0.05
    assert share[~shaded & ~nearly].min() > 0.95


@pytest.mark.usefixtures("_nothing_far")
def test_a_higher_sun_casts_a_shorter_shadow() -> None:
    point = at((-3.0, 0.0))
    assert make(light_from((1, 0, 1))).sun_on_ground(point)[0] < 0.05
    assert make(light_from((1, 0, 3))).sun_on_ground(point)[0] > 0.95


@pytest.mark.usefixtures("_nothing_far")
def test_a_softer_light_has_softer_edges() -> None:
    across = at(*((-3.5 + 0.05 * k, 0.0) for k in range(-16, 17)))
    hard, soft = (make(light_from((1, 0, 1), softness=s)).sun_on_ground(across) for s in (0.0, 0.27))
    assert np.abs(np.diff(hard)).max() > 3 * np.abs(np.diff(soft)).max()
    assert soft[16] == pytest.approx(0.5, abs=0.1)
    assert hard[16] == pytest.approx(0.5, abs=0.3)


@pytest.mark.usefixtures("_nothing_far")
def test_the_vehicle_does_not_shade_itself() -> None:
    points = at((-2, 0, 0.1), (-2, 0, 1.0), (0, 0, 1.5), (0, 1, 0.5), (2, 0, 0.5))
    np.testing.assert_array_equal(make(LOW_SUN).sun_on_vehicles(points), 1)


@pytest.mark.usefixtures("_nothing_far")
def test_a_neighbour_shades_the_vehicle_below_the_suns_ray_alone() -> None:
    tall = block(lower=(-2, -1, 0), upper=(2, 1, 3)).moved(4.5, 0, 0)  # from x = 2.5 to 6.5
    shadows = make(LOW_SUN, (tall,))
    # The ray over its rear edge passes x = 2 half a metre deeper, and so on.
    for x, height in ((2.0, 2.5), (1.0, 1.5), (0.0, 0.5)):
        below, above = shadows.sun_on_vehicles(at((x, 0, height - 0.15), (x, 0, height + 0.15)))
        assert below < 0.05
        assert above > 0.95
    assert shadows.sun_on_vehicles(at((-1, 0, 1.5)))[0] > 0.95


@pytest.mark.usefixtures("_nothing_far")
def test_the_vehicle_shades_a_neighbour() -> None:
    behind = block().moved(-4.5, 0, 0)  # from x = -6.5 to -2.5
    shadows = make(LOW_SUN, (behind,))
    below, above = shadows.sun_on_vehicles(at((-2.5, 0, 0.7), (-2.5, 0, 1.3)))
    assert below < 0.05
    assert above > 0.95


@pytest.mark.usefixtures("_nothing_far")
def test_a_neighbours_shadow_falls_on_the_ground_too() -> None:
    beside = block().moved(0, 3.5, 0)
    alone, both = make(LOW_SUN), make(LOW_SUN, (beside,))
    point = at((-2.8, 3.5))
    assert alone.sun_on_ground(point)[0] > 0.95
    assert both.sun_on_ground(point)[0] < 0.05


@pytest.mark.usefixtures("_nothing_far")
def test_closeness_is_one_below_a_vehicle_and_fades_beside_it() -> None:
    shadows = make(LOW_SUN, (block().moved(0, 4, 0),))
    below, edge, beside, off, other = shadows.closeness(at((0, 0), (0, -1), (0, -1.3), (0, -3), (0, 4)))
    assert below > 0.98
    assert edge == pytest.approx(0.5, abs=0.1)
    assert 0.02 < beside < 0.25
    assert off < 0.01
    assert other > 0.98


def test_shadows_follow_from_their_generator_and_differ() -> None:
    ground = np.random.default_rng(0).uniform(-5, 5, (500, 2)).astype(np.float32)
    kinds = set()
    for seed in range(30):
        share = make(LOW_SUN, seed=seed).sun_on_ground(ground)
        assert share.min() >= 0
        assert share.max() <= 1
        kinds.add(share.tobytes())
        if seed < 8:
            np.testing.assert_array_equal(share, make(LOW_SUN, seed=seed).sun_on_ground(ground))
    # Most often nothing far away casts a shadow; what does, casts another each time.
    assert 5 < len(kinds) < 25


def test_what_is_far_away_shades_vehicles_as_it_shades_the_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    def house(shadow: Plan, random: np.random.Generator) -> Plan:
        shadow.polygon(np.array([[-20, -20], [0, -20], [0, 20], [-20, 20]]), 255)
        return shadow

    monkeypatch.setattr(module, "_draw_far", house)
    shadows = make(LOW_SUN)
    np.testing.assert_allclose(shadows.sun_on_ground(at((-4, 3), (4, 3))), [0, 1], atol=0.02)
    # A metre up, the ray meets the ground a metre behind.
    np.testing.assert_allclose(shadows.sun_on_vehicles(at((0.8, 0, 1), (1.2, 0, 1))), [0, 1], atol=0.02)


def test_edition_2_has_more_shadows_of_what_is_far_away() -> None:
    ground = np.random.default_rng(0).uniform(-5, 5, (500, 2)).astype(np.float32)
    shares: dict[int, set[bytes]] = {1: set(), 2: set()}
    for edition, kinds in shares.items():
        for seed in range(40):
            shadows = Shadows(CAR, (), LOW_SUN, AREA, 24, np.random.default_rng(seed), edition)
            share = shadows.sun_on_ground(ground)
            assert 0 <= share.min() <= share.max() <= 1
            kinds.add(share.tobytes())
    assert len(shares[1]) < len(shares[2]) < 40


@pytest.mark.parametrize("form", ["house", "tree", "branches", "post", "lattice"])
def test_each_form_shades_a_part(form: str) -> None:
    parts = []
    for seed in range(12):
        plan = module._draw_one_far(Plan(*AREA, 24, "L", 0), form, np.random.default_rng(seed))
        parts.append((np.asarray(plan.image) > 0).mean())
    assert 0.005 < np.mean(parts) < 0.8
    assert len(set(parts)) > 4
