import copy
import hashlib
import io
import itertools
import json
import operator
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from model.box import Box
from tests.conftest import picture
from training.synthetic import identity as identity_module
from training.synthetic.identity import Identity, ViewFacts, draw_identity, name_of, role_of, split_of
from training.synthetic.settings import Settings, TrainingSettings

SEED, NUMBER = 4, 12
NAME = "s4-000012"
RASTERIZER: Any = object()
LONG_AGO = 1e9  # seconds since 1970


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What was drawn, each as (seed, number, view): pictures of no vehicle, which is quick."""
    views: list[tuple[int, ...]] = []

    def build_vehicle(seed: int, number: int) -> Any:
        assert (seed, number) == (SEED, NUMBER)
        shape = SimpleNamespace(length=4.12345, width=1.7, height=1.50049)
        return SimpleNamespace(kind="van", colour="red", details=("dusty", "dented"), shape=shape)

    def render_view(rasterizer: object, vehicle: Any, settings: Settings, seed: int, entropy: tuple[int, ...]) -> Any:
        assert (rasterizer, vehicle.kind, settings, seed) == (RASTERIZER, "van", Settings(), SEED)
        index = entropy[-1]
        views.append(entropy)
        camera = SimpleNamespace(
            altitude_m=20.12345 + index, depression_deg=50.6789, roll_deg=-1.23456, scale_px_per_m=12.3456789
        )
        return SimpleNamespace(
            image=Image.fromarray(picture(index)),
            box=Box(3, 4, 20, 10) if index == 1 else None,
            viewpoint=camera,
            heading_deg=-170.98765 + index,
            occluded=index == 1,
            jpeg_quality=60 + 10 * index,
            mask=None,
        )

    monkeypatch.setattr(identity_module, "build_vehicle", build_vehicle)
    monkeypatch.setattr(identity_module, "render_view", render_view)
    return views


def draw(folder: Path, num_views: int) -> Identity:
    return draw_identity(folder, SEED, NUMBER, num_views, Settings(), RASTERIZER)


@pytest.fixture
def folder(tmp_path: Path, drawn: list[tuple[int, ...]]) -> Path:
    """The folder of an identity with three views."""
    folder = tmp_path / "images" / NAME
    draw(folder, 3)
    drawn.clear()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "vehicle.json").read_text("utf-8"))
    return found


def age(folder: Path) -> None:
    """All files were written long ago."""
    for path in folder.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))


def written_again(folder: Path) -> set[str]:
    """The files that changed since then."""
    return {path.name for path in folder.iterdir() if path.stat().st_mtime != LONG_AGO}


def jpeg(view: int) -> bytes:
    """The file that the faked picture of a view becomes."""
    stream = io.BytesIO()
    Image.fromarray(picture(view)).save(stream, "JPEG", quality=60 + 10 * view)
    return stream.getvalue()


# --- names, splits and roles


def test_no_two_identities_share_a_name() -> None:
    numbers = (0, 1, 2, 10, 11, 99_999, 999_999, 1_000_000, 10_000_000)
    seeds = (0, 1, 10, 100, 2**63 - 1)
    names = {name_of(seed, number) for seed, number in itertools.product(seeds, numbers)}
    assert len(names) == len(seeds) * len(numbers)
    assert name_of(0, 12) == "s0-000012"
    assert name_of(0, 12, edition=2) == "t0-000012"
    assert not names & {name_of(seed, number, 2) for seed, number in itertools.product(seeds, numbers)}


def test_ten_identities_are_five_to_train_one_to_validate_and_four_to_test() -> None:
    expected = ["train"] * 5 + ["val"] + ["test"] * 4
    assert [split_of(number, Settings()) for number in range(30)] == 3 * expected


def test_other_shares_give_other_splits() -> None:
    settings = Settings(split=(1, 2, 1))
    assert [split_of(number, settings) for number in range(8)] == 2 * ["train", "val", "val", "test"]


def test_everybody_in_edition_2_is_to_train() -> None:
    splits = {split_of(number, TrainingSettings()) for number in range(40)}
    assert splits == {"train"}
    assert {role_of("train", view) for view in range(9)} == {"train"}


def test_the_first_view_is_the_gallery_where_nobody_trains() -> None:
    assert [role_of("train", view) for view in range(3)] == ["train"] * 3
    for split in ("val", "test"):
        assert [role_of(split, view) for view in range(3)] == ["gallery", "query", "query"]


# --- what is drawn


def test_an_identity_is_drawn_into_its_folder(tmp_path: Path, drawn: list[tuple[int, ...]]) -> None:
    folder = tmp_path / "images" / NAME
    identity = draw(folder, 2)
    assert drawn == [(SEED, NUMBER, 0), (SEED, NUMBER, 1)]
    assert contents(folder).keys() == {"0.jpg", "1.jpg", "vehicle.json"}
    views: list[dict[str, Any]] = []
    for index in range(2):
        assert (folder / f"{index}.jpg").read_bytes() == jpeg(index)
        views.append(
            {
                "file": f"{index}.jpg",
                "sha256": hashlib.sha256(jpeg(index)).hexdigest(),
                "box": ("", "3,4,20,10")[index],
                "heading_deg": round(-170.98765 + index, 2),
                "altitude_m": round(20.12345 + index, 2),
                "depression_deg": 50.68,
                "roll_deg": -1.23,
                "px_per_m": 12.346,
                "occluded": index == 1,
            }
        )
    expected: dict[str, Any] = {
        "identity": NAME,
        "type": "van",
        "colour": "red",
        "details": ["dusty", "dented"],
        "size_m": [4.123, 1.7, 1.5],
        "views": views,
    }
    assert identity == Identity(**expected | {"views": [ViewFacts(**view) for view in views]})
    sha256 = hashlib.sha256(json.dumps(expected, sort_keys=True).encode()).hexdigest()
    assert facts(folder) == expected | {"sha256": sha256}


def test_what_is_read_back_is_what_was_drawn(tmp_path: Path, drawn: list[tuple[int, ...]]) -> None:
    folder = tmp_path / NAME
    assert draw(folder, 3) == Identity.read(folder)


def test_what_is_there_is_not_drawn_again(
    folder: Path, drawn: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_module, "build_vehicle", lambda *_: pytest.fail("it is all there"))
    before = contents(folder)
    age(folder)
    assert draw(folder, 3) == Identity.read(folder)
    assert drawn == []
    assert contents(folder) == before
    assert written_again(folder) == set()


def test_fewer_views_are_the_first_ones_and_leave_the_others(folder: Path, drawn: list[tuple[int, ...]]) -> None:
    before = contents(folder)
    whole = Identity.read(folder)
    fewer = draw(folder, 2)
    assert whole is not None
    assert fewer == whole.model_copy(update={"views": whole.views[:2]})
    assert drawn == []
    assert contents(folder) == before


def test_more_views_end_as_if_all_had_been_drawn_at_once(
    folder: Path, drawn: list[tuple[int, ...]], tmp_path: Path
) -> None:
    age(folder)
    more = draw(folder, 5)
    assert drawn == [(SEED, NUMBER, 3), (SEED, NUMBER, 4)]
    assert written_again(folder) == {"3.jpg", "4.jpg", "vehicle.json"}
    assert more == Identity.read(folder) == draw(tmp_path / "fresh" / NAME, 5)
    assert contents(folder) == contents(tmp_path / "fresh" / NAME)


# --- what is damaged


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [remove, empty, cut, lengthen, alter], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("view", [0, 2])
def test_a_damaged_image_is_noticed_and_drawn_again(
    view: int, damage: Callable[[Path], None], folder: Path, drawn: list[tuple[int, ...]]
) -> None:
    before = contents(folder)
    age(folder)
    damage(folder / f"{view}.jpg")
    draw(folder, 3)
    assert drawn == [(SEED, NUMBER, view)]
    assert contents(folder) == before
    assert written_again(folder) == {f"{view}.jpg", "vehicle.json"}


def test_damage_of_a_view_that_is_not_wanted_does_not_matter(folder: Path, drawn: list[tuple[int, ...]]) -> None:
    alter(folder / "2.jpg")
    assert len(draw(folder, 2).views) == 2
    assert drawn == []


def test_two_images_that_changed_places_are_noticed(folder: Path, drawn: list[tuple[int, ...]]) -> None:
    before = contents(folder)
    first, second = (folder / "0.jpg").read_bytes(), (folder / "1.jpg").read_bytes()
    (folder / "0.jpg").write_bytes(second)
    (folder / "1.jpg").write_bytes(first)
    draw(folder, 3)
    assert drawn == [(SEED, NUMBER, 0), (SEED, NUMBER, 1)]
    assert contents(folder) == before


def not_json(path: Path) -> None:
    path.write_text(path.read_text("utf-8")[:-20], "utf-8")


def not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe{}")


def no_facts(path: Path) -> None:
    path.write_text("{}", "utf-8")


def another_heading(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("-170.99") == 1
    path.write_text(text.replace("-170.99", "170.99"), "utf-8")


def another_name(path: Path) -> None:
    """As if the folder had been that of another vehicle."""
    path.write_text(path.read_text("utf-8").replace(NAME, name_of(SEED, NUMBER + 1)), "utf-8")


@pytest.mark.parametrize(
    "damage",
    [remove, empty, not_json, not_text, no_facts, another_heading, another_name],
    ids=lambda damage: damage.__name__,
)
def test_damaged_facts_are_noticed_and_written_again(
    damage: Callable[[Path], None], folder: Path, drawn: list[tuple[int, ...]]
) -> None:
    before = contents(folder)
    damage(folder / "vehicle.json")
    assert Identity.read(folder) is None
    draw(folder, 3)
    assert drawn == [(SEED, NUMBER, view) for view in range(3)]
    assert contents(folder) == before


def test_facts_in_the_folder_of_another_identity_do_not_count(folder: Path) -> None:
    assert Identity.read(folder) is not None
    assert Identity.read(folder.rename(folder.parent / name_of(SEED, NUMBER + 1))) is None


@pytest.mark.parametrize(
    "text", ["[]", "null", "3", '"facts"', "true", "NaN", '[{"sha256": 1}]', '{"sha256": null}', '{"sha256": "ab"}']
)
def test_facts_of_another_form_are_noticed(text: str, folder: Path) -> None:
    before = contents(folder)
    (folder / "vehicle.json").write_text(text, "utf-8")
    assert Identity.read(folder) is None
    draw(folder, 3)
    assert contents(folder) == before


def places(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where everything in a JSON value lies, however deep."""
    if place:
        yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*place, index))


def test_each_fact_that_is_missing_added_or_altered_is_noticed(folder: Path) -> None:
    whole = facts(folder)
    all_places = list(places(whole))
    assert ("views", 1, "heading_deg") in all_places
    assert ("views", 2, "occluded") in all_places
    assert ("sha256",) in all_places

    def read(change: Callable[[Any, Any], None], place: tuple[str | int, ...]) -> Identity | None:
        """What is read when a change was made at a place."""
        record: Any = copy.deepcopy(whole)
        holder = record
        for step in place[:-1]:
            holder = holder[step]
        change(holder, place[-1])
        (folder / "vehicle.json").write_text(json.dumps(record), "utf-8")
        return Identity.read(folder)

    def alter_it(holder: Any, key: Any) -> None:
        value = holder[key]
        if isinstance(value, bool):
            holder[key] = not value
        elif isinstance(value, float):
            holder[key] = value + 0.01
        elif isinstance(value, str):
            holder[key] = value + "x"
        elif isinstance(value, list):
            holder[key] = value + value
        else:
            value["file"] = "another.jpg"

    def replace_by(other: object) -> Callable[[Any, Any], None]:
        return lambda holder, key: operator.setitem(holder, key, other)

    def add_beside(holder: Any, key: Any) -> None:
        if isinstance(holder, dict):
            holder["note"] = "mine"
        else:
            holder.append(holder[key])

    changes = [operator.delitem, alter_it, add_beside, *map(replace_by, (None, "x", 7, -0.5, [], {}, [{}]))]
    for place in all_places:
        for change in changes:
            assert read(change, place) is None, place
    assert read(lambda *_: None, ("type",)) is not None


# --- what is interrupted


def test_an_identity_that_was_interrupted_does_not_count(
    tmp_path: Path, drawn: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / NAME
    with monkeypatch.context() as patched:
        patched.setattr(identity_module, "render_view", fails_at(2))
        with pytest.raises(OSError, match="no space"):
            draw(folder, 3)
    assert not (folder / "vehicle.json").exists()
    assert Identity.read(folder) is None
    draw(folder, 3)
    assert draw(tmp_path / "fresh" / NAME, 3) == Identity.read(folder)
    assert contents(folder) == contents(tmp_path / "fresh" / NAME)


def test_an_image_that_is_half_written_is_not_there(
    tmp_path: Path, drawn: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def write_half(path: Path, data: bytes) -> int:
        if path.name.startswith("1.jpg"):
            write_bytes(path, data[: len(data) // 2])
            raise OSError(28, "no space")
        return write_bytes(path, data)

    folder = tmp_path / NAME
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", write_half)
        with pytest.raises(OSError, match="no space"):
            draw(folder, 2)
    assert contents(folder) == {"0.jpg": jpeg(0)}
    draw(folder, 2)
    assert (folder / "1.jpg").read_bytes() == jpeg(1)
    assert Identity.read(folder) is not None


@pytest.mark.parametrize("num_views", [2, 3, 4])
def test_what_a_killed_process_left_is_removed(num_views: int, folder: Path, tmp_path: Path) -> None:
    for name in ("0.jpgk3_x.tmp", "9.jpgabc.tmp", "vehicle.jsonq.tmp"):
        (folder / name).write_bytes(b"half of")
    draw(folder, num_views)
    assert contents(folder) == contents_of_a_fresh_one(tmp_path, max(num_views, 3))


def test_more_views_that_were_interrupted_leave_the_first_ones_valid(
    folder: Path, drawn: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Identity.read(folder)
    with monkeypatch.context() as patched:
        patched.setattr(identity_module, "render_view", fails_at(4))
        with pytest.raises(OSError, match="no space"):
            draw(folder, 5)
    drawn.clear()
    assert before is not None
    assert draw(folder, 3) == Identity.read(folder) == before
    assert drawn == []
    assert len(draw(folder, 5).views) == 5


def contents_of_a_fresh_one(tmp_path: Path, num_views: int) -> dict[str, bytes]:
    draw(tmp_path / "fresh" / NAME, num_views)
    return contents(tmp_path / "fresh" / NAME)


def fails_at(view: int) -> Callable[..., Any]:
    """`render_view`, up to this view."""
    render_view = vars(identity_module)["render_view"]

    def render(*arguments: Any) -> Any:
        if arguments[-1][-1] == view:
            raise OSError(28, "no space")
        return render_view(*arguments)

    return render
