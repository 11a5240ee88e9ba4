from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator

from training.synthetic.vehicles import body_details, roof_details, wear
from training.synthetic.vehicles.atlas import Atlas, Side
from training.synthetic.vehicles.body import cabin
from training.synthetic.vehicles.cargo import load_up
from training.synthetic.vehicles.details import DETAILS, Detail
from training.synthetic.vehicles.livery import darker, paint_body
from training.synthetic.vehicles.mesh import join
from training.synthetic.vehicles.types import TYPES
from training.synthetic.vehicles.workshop import Workshop

PAINT = (90, 140, 190)


def workshop(kind: str, seed: int) -> Workshop:
    shape = TYPES[kind].shape(np.random.default_rng(seed))
    atlas = Atlas(shape.length, shape.width, shape.height + 0.9, PAINT)
    return Workshop(kind, PAINT, shape, atlas, np.random.default_rng([seed, 1]))


def changed(w: Workshop) -> np.ndarray:
    """Where the atlas is no longer plain paint."""
    found: np.ndarray = (np.asarray(w.atlas.image) != PAINT).any(-1)
    return found


def chart(w: Workshop, side: Side) -> tuple[slice, slice]:
    """The rows and columns of a whole chart."""
    half_length, half_width = w.shape.length / 2, w.shape.width / 2
    across = half_length if side in ("top", "left", "right") else half_width
    low, high = ((-across, -half_width), (across, half_width)) if side == "top" else (
        (-across, 0.0), (across, w.shape.height + 0.9),
    )  # fmt: skip
    (x0, y0), (x1, y1) = w.atlas.pixels(side, (low, high))
    return slice(round(min(y0, y1)) - 1, round(max(y0, y1)) + 1), slice(round(min(x0, x1)) - 1, round(max(x0, x1)) + 1)


def after(kind: str, fit: Callable[[Workshop], str], count: int = 25) -> Iterator[tuple[Workshop, str]]:
    for seed in range(count):
        w = workshop(kind, seed)
        yield w, fit(w)


@pytest.mark.parametrize("entry", DETAILS, ids=lambda entry: entry.fit.__name__)
def test_a_detail_shows_and_is_named(entry: Detail) -> None:
    probability, kinds, fit = entry.share, entry.types, entry.fit
    assert 0 < probability < 1
    assert kinds <= set(TYPES)
    for kind in sorted(kinds):
        for w, word in after(kind, fit, 3):
            assert word
            assert w.parts or changed(w).any()
            for part in w.parts:
                # Somewhere on the vehicle.
                assert (np.abs(part.points[:, 0]) < w.shape.length / 2 + 0.25).all()
                assert (np.abs(part.points[:, 1]) < w.shape.width / 2 + 0.1).all()
                assert part.points[:, 2].min() > w.shape.clearance
                assert part.points[:, 2].max() < w.shape.height + 0.5


@pytest.mark.parametrize("kind", TYPES)
def test_no_kind_runs_out_of_details(kind: str) -> None:
    """Four are wanted, two of them striking, whatever it carries: with fewer the vehicle would never be done."""
    assert sum(kind in detail.types for detail in DETAILS) >= 4
    assert sum(kind in detail.types and detail.striking for detail in DETAILS) >= 2


def test_a_stripe_is_on_the_side_it_says() -> None:
    words = set()
    for w, word in after("sedan", body_details.side_stripe):
        side: Side = "left" if "left" in word else "right"
        words.add(side)
        marks = changed(w)
        assert marks[chart(w, side)].any()
        marks[chart(w, side)] = False
        assert not marks.any()
    assert words == {"left", "right"}


def test_stickers_and_panels_are_on_the_side_they_say() -> None:
    sides = set()
    for fit in (body_details.stickers, body_details.odd_panel):
        for w, word in after("suv", fit, 40):
            if not word.endswith(("left", "right")):
                continue
            left = word.endswith("left")
            sides.add(left)
            marks = changed(w)
            rows, columns = chart(w, "top")
            top = marks[rows, columns]
            if top.any():
                # The left lies above in the top chart; a sticker may reach across the middle.
                assert (np.nonzero(top)[0].mean() < top.shape[0] / 2) == left
            assert not marks[chart(w, "right" if left else "left")][4:-4].any()
            assert marks.any()
    assert sides == {True, False}


def test_roof_loads_lie_on_the_side_they_say() -> None:
    found = set()
    for w, word in after("estate", roof_details.roof_load, 40):
        points = join(w.parts).points
        assert points[:, 2].min() > w.shape.height - 0.05
        if "luggage" in word:
            continue
        found.add(word)
        assert np.sign((points[:, 1].min() + points[:, 1].max()) / 2) == (1 if word.endswith("left") else -1)
    assert {"box on the roof, left", "box on the roof, right", "ladder on the roof, left"} <= found


def test_papers_lie_on_the_side_of_the_windscreen_they_say_and_face_forward() -> None:
    found = set()
    for w, word in after("sedan", body_details.windscreen, 40):
        (part,) = w.parts
        found.add(word)
        assert (part.normals[:, 0] > 0).all()
        assert (part.normals[:, 2] > 0.3).all()
        if "paper" in word:
            assert np.sign(part.points[:, 1]).mean() == (1 if word.endswith("left") else -1)
        else:
            assert part.points[:, 1].min() == pytest.approx(-part.points[:, 1].max(), abs=1e-5)
    assert found == {f"windscreen {form}" for form in ("strip", "sunshade", "paper left", "paper right")}


@pytest.mark.parametrize("kind", ["sedan", "suv"])
def test_patches_on_windows_lie_outside_the_glass(kind: str) -> None:
    """Seen from above, where nothing but the patch may be: within a hand above the cabin and never below it."""
    for fit in (body_details.windscreen, body_details.rear_window):
        for w, _ in after(kind, fit, 1):
            points = cabin(w.shape).points
            surface = LinearNDInterpolator(points[:, :2], points[:, 2])
            (part,) = w.parts
            if fit is body_details.rear_window:
                assert (part.normals[:, 0] < 0).all()
            above = part.points[:, 2] - surface(part.points[:, :2])
            above = above[np.isfinite(above)]
            assert above.size
            assert above.min() > 0
            assert above.max() < 0.4


@pytest.mark.parametrize("kind", ["hatchback", "estate", "suv"])
def test_sunroofs_lie_just_above_the_roof(kind: str) -> None:
    for w, _ in after(kind, roof_details.sunroof, 3):
        points = cabin(w.shape).points
        roof = points[points[:, 2] > w.shape.height - 0.1]
        surface = LinearNDInterpolator(roof[:, :2], roof[:, 2])
        for part in w.parts:
            above = part.points[:, 2] - surface(part.points[:, :2])
            assert above.min() > 0
            assert above.max() < 0.03
            assert (part.normals[:, 2] > 0.9).all()


def test_a_dusty_vehicle_is_dirtier_below() -> None:
    words = set()
    for w, word in after("van", wear.weather, 30):
        words.add(word)
        if word != "dirty":
            continue
        rows, columns = chart(w, "left")
        side = np.abs(np.asarray(w.atlas.image)[rows, columns].astype(int) - PAINT).mean((1, 2))
        assert side[-20:].mean() > 2 * side[:20].mean()
    assert words == {"clean", "dusty", "dirty"}


@pytest.mark.parametrize("kind", ["pickup", "truck"])
def test_loads_lie_behind_the_cab(kind: str) -> None:
    words = set()
    for w, word in after(kind, load_up, 40):
        words.add(word.split()[-1] if kind == "pickup" else word)
        points = join(w.parts).points
        assert points[:, 0].max() < w.shape.rear_window[0]
        assert points[:, 0].min() > -w.shape.length / 2
        assert np.abs(points[:, 1]).max() < w.shape.width / 2 + 1e-3
        assert points[:, 2].max() < w.shape.height + 0.9
    expected = {"pickup": {"bed"},
                "truck": {f"{form} body" for form in ("box", "tarpaulin", "flatbed", "tipper", "tank")}}  # fmt: skip
    assert words == expected[kind]


def test_a_heap_rises_above_the_bed_and_does_not_fall_through_it() -> None:
    count = 0
    for w, word in after("pickup", load_up, 40):
        if word != "heap in the bed":
            continue
        count += 1
        heights = w.parts[-1].points[:, 2]
        assert w.shape.deck - 0.15 < heights.min() < w.shape.deck
        assert w.shape.belt < heights.max() < w.shape.belt + 0.15
    assert count > 3


def test_cars_carry_nothing_and_say_nothing() -> None:
    w = workshop("sedan", 0)
    assert load_up(w) == ""
    assert not w.parts


def test_every_body_shows_lamps_at_its_ends() -> None:
    for kind in TYPES:
        w = workshop(kind, 1)
        paint_body(w.atlas, w.shape, kind, PAINT, w.random)
        pixels = np.asarray(w.atlas.image).astype(int)
        front, rear = pixels[chart(w, "front")], pixels[chart(w, "rear")]
        pale, red = (212, 216, 220), (150, 18, 20)
        assert (front == pale).all(-1).sum() > 20
        assert (rear == red).all(-1).sum() > 20
        assert not (front == red).all(-1).any()
        assert not (rear == pale).all(-1).any()
        # From above, pale lamps in front (to the right) and red ones behind.
        top = pixels[chart(w, "top")]
        half = top.shape[1] // 2
        assert (top[:, half:] == pale).all(-1).any()
        assert (top[:, :half] == red).all(-1).any()
        assert not (top[:, :half] == pale).all(-1).any()
        assert not (top[:, half:] == red).all(-1).any()


@pytest.mark.parametrize(
    ("factor", "expected"), [(0.5, (50, 100, 120)), (2, (200, 255, 255)), (0, (0, 0, 0)), (-1, (0, 0, 0))]
)
def test_darker_stays_within_the_range(factor: float, expected: tuple[int, int, int]) -> None:
    assert darker((100, 200, 240), factor) == expected
