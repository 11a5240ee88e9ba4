from dataclasses import replace
from pathlib import Path

import pytest

from index.datasets.manifest import Entry, Manifest, ManifestError
from index.datasets.protocol import Protocol
from index.datasets.repeats import image_key, require_one_vehicle, without_repeats
from model.box import Box

A = Entry("a.jpg", "van", "north", "gallery", "test")


def manifest(*entries: Entry) -> Manifest:
    return Manifest(Path("/data"), entries, Protocol())


@pytest.mark.parametrize("path", ["./a.jpg", "x/../a.jpg", ".//a.jpg", "/data/a.jpg", "../data/a.jpg", "././a.jpg"])
def test_a_path_that_is_written_differently_is_the_same_image(path: str) -> None:
    assert without_repeats(manifest(A, replace(A, path=path))).entries == (A,)
    key_of = image_key(Path("/data"))
    assert key_of(replace(A, path=path)) == key_of(A)


def test_a_relative_folder_and_an_absolute_path_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key_of = image_key(Path("data"))
    assert key_of(replace(A, path=str(tmp_path / "data" / "a.jpg"))) == key_of(A)


@pytest.mark.parametrize(
    "other",
    [
        replace(A, path="A.jpg"),
        replace(A, path="x/a.jpg"),
        replace(A, box=Box(0, 0, 9, 9)),
        replace(A, split="val"),
        replace(A, role="query"),
        replace(A, role=None),
        replace(A, identity="bus"),
        replace(A, camera=""),
    ],
    ids=str,
)
def test_a_line_that_says_something_else_is_no_repeat(other: Entry) -> None:
    data = manifest(A, other)
    assert without_repeats(data) is data


def test_repeats_are_left_out_counted_and_the_order_stays() -> None:
    boxed = replace(A, box=Box(1, 2, 30, 40), captured_at="noon")
    again = replace(A, captured_at="2026-05-01T12:00:00Z", further={"colour": "red"}, line=9)
    data = replace(manifest(A, boxed, again, boxed, replace(A, path="./a.jpg")), warnings=("before",))
    found = without_repeats(data)
    assert found.entries == (A, boxed)
    assert found.warnings == (
        "before",
        "lines that repeat another (the same image, box, split, role, identity and camera), left out: 3",
    )


def test_an_image_that_is_drawn_on_either_line_is_drawn() -> None:
    lines = [Entry("a", "van", further={"draws": draws}) for draws in ("0 2", "", "1 2")]
    (entry,) = without_repeats(manifest(*lines)).entries
    assert entry.further["draws"].split() == ["0", "2", "1"]


@pytest.mark.parametrize(
    ("other", "column", "values"),
    [
        (replace(A, identity="bus", line=7), "identity", ("van", "bus")),
        (replace(A, identity="", line=7), "identity", ("van", "empty")),
        (replace(A, camera="south", line=7), "camera", ("north", "south")),
        (replace(A, role="distractor", line=7), "role", ("gallery", "distractor")),
        (replace(A, role="junk", line=7), "role", ("gallery", "junk")),
        (replace(A, path="./a.jpg", identity="bus", line=7), "identity", ("van", "bus")),
    ],
    ids=str,
)
def test_one_vehicle_that_is_two_is_refused_with_both_lines_and_values(
    other: Entry, column: str, values: tuple[str, str]
) -> None:
    with pytest.raises(ManifestError) as raised:
        require_one_vehicle(Path("/data"), [replace(A, line=2), other])
    assert str(raised.value) == (
        f"a.jpg (line 2) and {other.place} are one vehicle, the same image, but its {column} is {values[0]!r} on one "
        f"line and {values[1]!r} on the other: say which is right"
    )


def test_the_box_is_named_where_there_is_one() -> None:
    boxed = replace(A, box=Box(1, 2, 30, 40))
    with pytest.raises(ManifestError, match="one vehicle, the same image at 1,2,30,40, but its identity"):
        require_one_vehicle(Path("/data"), [boxed, replace(boxed, identity="bus")])


def test_a_query_in_the_gallery_and_two_vehicles_of_a_frame_are_fine() -> None:
    other = replace(A, identity="bus", box=Box(0, 0, 9, 9))
    require_one_vehicle(Path("/data"), [A, replace(A, role="query"), other, replace(other, role="query")])


def test_links_and_unicode_forms_are_the_same_image(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "e\u0301.jpg").touch()
    (tmp_path / "real" / "link.jpg").symlink_to("e\u0301.jpg")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "deep").symlink_to("real/deep")
    key_of = image_key(tmp_path)
    paths = ["real/e\u0301.jpg", "real/\xe9.jpg", "real/link.jpg", "linked/e\u0301.jpg", "linked/link.jpg"]
    # Through a link, `..` is the folder above what it leads to.
    paths.append("deep/../e\u0301.jpg")
    assert len({key_of(Entry(path)) for path in paths}) == 1
    assert key_of(Entry("e\u0301.jpg")) != key_of(Entry(paths[0]))
    with pytest.raises(ManifestError, match="are one vehicle, the same image, but its identity"):
        require_one_vehicle(tmp_path, [Entry(paths[0], "van"), Entry("linked/link.jpg", "bus")])
