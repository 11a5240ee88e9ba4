from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.data_folder import GalleryLockedError, owned
from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryError
from tests.index.records import DIM, MODEL


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with owned(tmp_path):
        with pytest.raises(GalleryLockedError, match="another process has the gallery in"), owned(tmp_path):
            pass
        with pytest.raises(GalleryError, match="another process"):
            open_gallery(tmp_path, MODEL, DIM)
    with closing(open_gallery(tmp_path, MODEL, DIM)), pytest.raises(GalleryLockedError), owned(tmp_path):
        pass
    with owned(tmp_path):
        pass
