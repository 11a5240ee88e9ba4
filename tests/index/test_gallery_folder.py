import argparse
from pathlib import Path

import pytest

from index.gallery_folder import gallery_folder


def test_a_database_or_a_folder_of_images_is_a_gallery(tmp_path: Path) -> None:
    for text in ("", str(tmp_path), str(tmp_path / "absent")):
        with pytest.raises(argparse.ArgumentTypeError):
            gallery_folder(text)
    (tmp_path / "images").mkdir()
    assert gallery_folder(str(tmp_path)) == tmp_path
    (tmp_path / "images").rmdir()
    (tmp_path / "gallery.sqlite").touch()
    assert gallery_folder(str(tmp_path)) == tmp_path
