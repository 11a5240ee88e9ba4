"""One identity on disk: a folder with its views and, written last, what is known about them."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from index.manifest import Role
from model.whole_file import whole_file
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import View, render_view
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle

_FACTS: Final = "vehicle.json"


@dataclass(frozen=True)
class Identity:
    """What `vehicle.json` holds.

    Attributes:
        name: such as ``s0-000012``: the seed and the number in it.
        kind, colour, details: of the vehicle.
        views: for each image its ``file`` and ``sha256``; ``heading_deg`` in the crop; ``altitude_m``,
            ``depression_deg`` and ``roll_deg`` of the camera; ``px_per_m``; ``occluded``.
    """

    name: str
    kind: str
    colour: str
    details: tuple[str, ...]
    views: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, folder: Path, num_views: int) -> Self | None:
        """What lies in the folder, if it is whole: every image there with the bytes it was written with."""
        try:
            facts = json.loads((folder / _FACTS).read_text("utf-8"))
            views = tuple(facts["views"][:num_views])
            whole = len(views) == num_views and all(
                hashlib.sha256((folder / view["file"]).read_bytes()).hexdigest() == view["sha256"] for view in views
            )
        except (OSError, ValueError, KeyError):
            return None
        return cls(folder.name, facts["type"], facts["colour"], tuple(facts["details"]), views) if whole else None


def name_of(seed: int, number: int) -> str:
    """The identity's name: no other seed has it."""
    return f"s{seed}-{number:06d}"


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
    """Draws what is not there yet of an identity into its folder; the same bytes whoever does it."""
    there = Identity.read(folder, num_views)
    if there is not None:
        return there
    vehicle = build_vehicle(seed, number)
    folder.mkdir(parents=True, exist_ok=True)
    views = []
    for index in range(num_views):
        view = render_view(rasterizer, vehicle, settings, seed, (seed, number, index))
        stream = io.BytesIO()
        view.image.save(stream, "JPEG", quality=view.jpeg_quality)
        (folder / f"{index}.jpg").write_bytes(stream.getvalue())
        views.append(_facts_of(f"{index}.jpg", hashlib.sha256(stream.getvalue()).hexdigest(), view))
    identity = Identity(folder.name, vehicle.kind, vehicle.colour, vehicle.details, tuple(views))
    with whole_file(folder / _FACTS) as temporary:
        temporary.write_text(json.dumps(_written(vehicle, identity), indent=1) + "\n", "utf-8")
    return identity


def _facts_of(file: str, sha256: str, view: View) -> dict[str, Any]:
    camera = view.viewpoint
    return {
        "file": file,
        "sha256": sha256,
        "heading_deg": round(view.heading_deg, 2),
        "altitude_m": round(camera.altitude_m, 2),
        "depression_deg": round(camera.depression_deg, 2),
        "roll_deg": round(camera.roll_deg, 2),
        "px_per_m": round(camera.scale_px_per_m, 3),
        "occluded": view.occluded,
    }


def _written(vehicle: Vehicle, identity: Identity) -> dict[str, Any]:
    shape = vehicle.shape
    size = [round(extent, 3) for extent in (shape.length, shape.width, shape.height)]
    return {
        "identity": identity.name,
        "type": vehicle.kind,
        "colour": vehicle.colour,
        "details": list(vehicle.details),
        "size_m": size,
        "views": list(identity.views),
    }
