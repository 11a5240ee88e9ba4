"""How a data set wants to be scored: the JSON sidecar of its manifest."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

CameraRule = Literal["none", "same_camera"]


class ProtocolError(ValueError):
    """A protocol that does not exist, or that the data cannot follow; the message says what to do."""


@dataclass(frozen=True)
class Protocol:
    """What turns a list of images into figures that can be compared.

    Attributes:
        dataset: its name; empty if nobody gave one.
        camera_rule: ``"same_camera"`` leaves out, query by query, the gallery images of the query's own vehicle from
            the query's own camera (Market-1501, VeRi-776); ``"none"`` leaves nothing out (UAV-VeID, VehicleID).
        gallery_per_identity: how many gallery images each identity has, where the protocol fixes it (UAV-VeID: 1).
        info: whatever else its maker wants to keep, such as a generator's settings. Nothing here reads it.
        num_draws: where chance picks an image of each identity, how often it was drawn; the figures are the mean of the
            draws. The manifest's column ``draws`` says in which draws (0, 1, ...) an image is the one; 0 for no chance.
        drawn_role: what the drawn images are; the others are the other.
    """

    dataset: str = ""
    camera_rule: CameraRule = "none"
    gallery_per_identity: int | None = None
    info: dict[str, Any] = dataclasses.field(default_factory=dict)
    num_draws: int = 0
    drawn_role: Literal["query", "gallery"] = "gallery"

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str):
            raise ProtocolError(f"dataset must be a text, got {self.dataset!r}")
        if self.camera_rule not in get_args(CameraRule):
            raise ProtocolError(
                f"camera_rule must be one of {', '.join(get_args(CameraRule))}; got {self.camera_rule!r}"
            )
        number = self.gallery_per_identity
        if number is not None and (type(number) is not int or number < 1):
            raise ProtocolError(f"gallery_per_identity must be a whole number above 0 or null, got {number!r}")
        if type(self.num_draws) is not int or self.num_draws < 0:
            raise ProtocolError(f"num_draws must be a whole number of 0 or more, got {self.num_draws!r}")
        if self.drawn_role not in ("query", "gallery"):
            raise ProtocolError(f"drawn_role must be query or gallery, got {self.drawn_role!r}")
        if not isinstance(self.info, dict):
            raise ProtocolError(f"info must be an object, got {self.info!r}")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a sidecar.

        Raises:
            ProtocolError: it is no JSON object, or has a key or value that no protocol has.
        """
        try:
            fields = json.loads(path.read_text("utf-8-sig"))
        except ValueError as error:
            raise ProtocolError(f"{path} is not JSON: {error}") from None
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(fields, dict) or fields.pop("format", None) != _FORMAT or not fields.keys() <= set(names):
            raise ProtocolError(
                f'{path} is no protocol: expected an object with "format": "{_FORMAT}" and any of {", ".join(names)}'
            )
        try:
            return cls(**fields)
        except ProtocolError as error:
            raise ProtocolError(f"{path}: {error}") from None

    def to_json(self) -> str:
        """The sidecar's text."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=2, ensure_ascii=False) + "\n"


_FORMAT: Final = "sanet-protocol-1"
