import base64
import json
from pathlib import Path

import pytest

from index.embedded.aside import AsideFolder
from index.gallery.errors import GalleryError


def test_a_file_keeps_its_path_and_none_is_overwritten(tmp_path: Path) -> None:
    aside = AsideFolder(tmp_path)
    path = tmp_path / "images" / "ab" / "abc"
    path.parent.mkdir(parents=True)
    for number, name in enumerate(["abc", "abc.1", "abc.2"]):
        path.write_text(str(number))
        assert aside.move(path) == tmp_path / "damaged" / "images" / "ab" / name
        assert not path.exists()
    path.write_text("3")
    assert aside.copy(path).read_text() == path.read_text() == "3"
    assert sorted(one.read_text() for one in (tmp_path / "damaged").rglob("abc*")) == ["0", "1", "2", "3"]


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="cannot be read or written"):
        AsideFolder(tmp_path).move(tmp_path / "absent")
    with pytest.raises(GalleryError, match="cannot be read or written"):
        AsideFolder(tmp_path).copy(tmp_path / "absent")
    assert not list((tmp_path / "damaged").iterdir())


def test_rows_keep_every_byte(tmp_path: Path) -> None:
    aside = AsideFolder(tmp_path)
    rows = [
        {"seq": 1, "camera": "Nørth".encode(), "source": None, "latitude": 0.1, "embedding": b"abcd"},
        {"seq": 2, "camera": b"n\xff", "embedding": b"\xff\0"},
    ]
    path = aside.write_rows(rows)
    again = aside.write_rows(rows[:1])
    assert path != again
    first, second = map(json.loads, path.read_text().splitlines())
    blob = base64.b64encode(b"abcd").decode()
    assert first == {"seq": 1, "camera": "Nørth", "source": None, "latitude": 0.1, "embedding": {"base64": blob}}
    assert base64.b64decode(second["camera"]["base64"]) == b"n\xff"
    assert base64.b64decode(second["embedding"]["base64"]) == b"\xff\0"
