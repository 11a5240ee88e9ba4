"""One identity on disk: a folder with its views and, written last, what is known about them."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Final, Self

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from index.datasets.manifest import Role
from model.whole_file import whole_file
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import View, render_view
from training.synthetic.scenes.training_view import render_training_view
from training.synthetic.settings import Settings, TrainingSettings
from training.synthetic.vehicles.training_vehicle import build_training_vehicle
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle

_FACTS: Final = "vehicle.json"
_LETTERS: Final = {1: "s", 2: "t"}  # that names of identities begin with, by edition


class ViewFacts(BaseModel):
    """What is known about one image.

    Attributes:
        file: its name; sha256: of its bytes.
        mask: the name of the picture of the vehicle's visible pixels, and mask_sha256: of its bytes; empty: none.
        box: ``x,y,w,h`` of the crop in it; empty if the image is the crop.
        heading_deg: the rear→front axis in the crop, counter-clockwise from the right, in (−180, 180].
        altitude_m, depression_deg, roll_deg: of the camera.
        px_per_m: scale at the vehicle.
        occluded: whether something hangs in front of it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    file: str
    sha256: str
    box: str
    heading_deg: float
    altitude_m: float
    depression_deg: float
    roll_deg: float
    px_per_m: float
    occluded: bool
    mask: str = ""
    mask_sha256: str = ""

    @classmethod
    def of(cls, file: str, content: bytes, view: View, mask: bytes | None = None) -> Self:
        """The facts of a view that was just drawn, given the bytes of its files."""
        camera = view.viewpoint
        return cls(
            file=file,
            sha256=hashlib.sha256(content).hexdigest(),
            box="" if view.box is None else str(view.box),
            heading_deg=round(view.heading_deg, 2),
            altitude_m=round(camera.altitude_m, 2),
            depression_deg=round(camera.depression_deg, 2),
            roll_deg=round(camera.roll_deg, 2),
            px_per_m=round(camera.scale_px_per_m, 3),
            occluded=view.occluded,
            mask="" if mask is None else mask_of(file),
            mask_sha256="" if mask is None else hashlib.sha256(mask).hexdigest(),
        )


class Identity(BaseModel):
    """What `vehicle.json` holds.

    Attributes:
        identity: its name, such as ``s0-000012``: the seed and the number in it; ``t0-000012`` in edition 2.
        type, colour, details, size_m: of the vehicle; what no other has, in words; length, width, height.
        views: of each image.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    identity: str
    type: str
    colour: str
    details: list[str]
    size_m: list[float] = Field(min_length=3, max_length=3)
    views: list[ViewFacts]

    @classmethod
    def of(cls, name: str, vehicle: Vehicle, views: list[ViewFacts]) -> Self:
        """The facts of a vehicle that was just drawn."""
        shape = vehicle.shape
        size = [round(extent, 3) for extent in (shape.length, shape.width, shape.height)]
        details = list(vehicle.details)
        return cls(identity=name, type=vehicle.kind, colour=vehicle.colour, details=details, size_m=size, views=views)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the folder's `vehicle.json` says; None if there is none, or not as it was written."""
        try:
            record = json.loads((folder / _FACTS).read_text("utf-8"))
            sha256 = record.pop("sha256")
            there = cls.model_validate(record)
        except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError):
            return None  # pydantic's ValidationError is a ValueError
        return there if sha256 == there._sha256() and there.identity == folder.name else None

    def write(self, folder: Path) -> None:
        """Writes `vehicle.json`, whole or not at all."""
        with whole_file(folder / _FACTS) as temporary:
            temporary.write_text(json.dumps(self._record() | {"sha256": self._sha256()}, indent=1) + "\n", "utf-8")

    def _record(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_defaults=True)  # without the masks' fields where there is none

    def _sha256(self) -> str:
        return hashlib.sha256(json.dumps(self._record(), sort_keys=True).encode()).hexdigest()


def name_of(seed: int, number: int, edition: int = 1) -> str:
    """The identity's name: no other seed and no other edition has it."""
    return f"{_LETTERS[edition]}{seed}-{number:06d}"


def mask_of(file: str) -> str:
    """The name of the mask beside an image."""
    return f"{Path(file).stem}.mask.png"


def split_of(number: int, settings: Settings) -> str:
    """The split of an identity; it does not change when more are drawn."""
    train, val, _ = settings.split
    place = number % sum(settings.split)
    return "train" if place < train else "val" if place < train + val else "test"


def role_of(split: str, view: int) -> Role:
    """Training images are all alike; elsewhere the first view is the gallery's only one."""
    return "train" if split == "train" else "gallery" if view == 0 else "query"


def draw_identity(
    folder: Path, seed: int, number: int, num_views: int, settings: Settings, rasterizer: Rasterizer
) -> Identity:
    """Draws what is not there yet of an identity into its folder; the same bytes whoever does it.

    Images that are there as they were written stay; what an interrupted writing left goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.tmp"):
        left.unlink()
    there = Identity.read(folder)
    known = {} if there is None else {view.file: view for view in there.views if _is_whole(folder, view)}
    files = [f"{index}.jpg" for index in range(num_views)]
    if there is not None and all(file in known for file in files):
        return there.model_copy(update={"views": [known[file] for file in files]})
    if isinstance(settings, TrainingSettings):
        vehicle = build_training_vehicle(seed, number, settings.plain)
    else:
        vehicle = build_vehicle(seed, number)
    views = []
    for index, file in enumerate(files):
        if file not in known:
            view = _render(rasterizer, vehicle, settings, seed, (seed, number, index))
            content = _write(folder / file, view.image, "JPEG", quality=view.jpeg_quality)
            mask = None if view.mask is None else _write(folder / mask_of(file), view.mask, "PNG", optimize=True)
            known[file] = ViewFacts.of(file, content, view, mask)
        views.append(known[file])
    identity = Identity.of(folder.name, vehicle, views)
    further = [view for file, view in known.items() if file not in files]  # of a time when more were asked for
    identity.model_copy(update={"views": [*views, *further]}).write(folder)
    return identity


def _render(rasterizer: Rasterizer, vehicle: Vehicle, settings: Settings, seed: int, entropy: tuple[int, ...]) -> View:
    if isinstance(settings, TrainingSettings):
        return render_training_view(rasterizer, vehicle, settings, seed, entropy)
    return render_view(rasterizer, vehicle, settings, seed, entropy)


def _write(path: Path, image: Image.Image, form: str, **options: Any) -> bytes:
    """Writes a picture, whole or not at all, and returns its bytes."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    with whole_file(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    return stream.getvalue()


def _is_whole(folder: Path, view: ViewFacts) -> bool:
    files = [(view.file, view.sha256)] + ([(view.mask, view.mask_sha256)] if view.mask else [])
    try:
        return all(hashlib.sha256((folder / file).read_bytes()).hexdigest() == sha256 for file, sha256 in files)
    except OSError:
        return False
