"""What a gallery cannot do, and says."""


class GalleryError(Exception):
    """The gallery cannot do what was asked; the message says why and what to do."""


class GalleryFullError(GalleryError):
    """The disk has no room; nothing of the request was stored, not even a half of it."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the gallery is full: nothing of this request was stored; free space and send it again"
        )


class GalleryUnavailableError(GalleryError):
    """What keeps the gallery cannot be reached at the moment: the same request may succeed when it is back."""

    retry_after_s = 5

    def __init__(self, keeper: str, reason: str) -> None:
        super().__init__(f"could not reach {keeper} ({reason}): try again in a few seconds")


class ReplacedError(GalleryError):
    """Another gallery has taken this one's place: the same write belongs there, and nothing was written."""

    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("the gallery was replaced by one of another model: nothing was written; send it again")


class RecordNotFoundError(GalleryError):
    """No record has this id."""


class OtherNumberError(GalleryError):
    """Another number of records passes the conditions than was expected; nothing was changed."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"{expected} records were expected to pass the conditions, and {found} do: nothing was done; list them "
            "with GET /gallery and the same conditions"
        )


class DamagedRecordError(GalleryError):
    """A stored record does not have its checksum: what keeps it changed it."""


class DeletionNotFoundError(GalleryError):
    """No deletion with this id can be undone: its time is over, or there never was one."""


class DeletionUndoneError(GalleryError):
    """The deletion was undone already."""


class CursorError(GalleryError):
    """A cursor that no page of this gallery gave."""
