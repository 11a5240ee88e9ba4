"""What a gallery cannot do, and says."""


class GalleryError(Exception):
    """The gallery cannot do what was asked; the message says why and what to do."""


class GalleryFullError(GalleryError):
    """The disk has no room; nothing of the request was stored, not even a half of it."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the gallery is full: nothing of this request was stored; free space and send it again"
        )


class RecordNotFoundError(GalleryError):
    """No record has this id."""


class DamagedRecordError(GalleryError):
    """A stored record does not have its checksum: what keeps it changed it."""


class CursorError(GalleryError):
    """A cursor that no page of this gallery gave."""
