"""A gallery to query: drawn vehicles on one large frame, and further crops of the same ones and of others."""

import csv
import json
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import numpy as np
from numpy.typing import NDArray

from model.image import encode_image, read_image

NUM_ON_FRAME: Final = 24
CELL_PX: Final = 220
NUM_COLUMNS: Final = 6


class Drawn(NamedTuple):
    """A vehicle on the frame.

    Attributes:
        identity: its name in the gallery.
        crop: the file that it was drawn from.
        box: x, y, width and height on the frame, in pixels.
        id: its record.
    """

    identity: str
    crop: Path
    box: tuple[int, int, int, int]
    id: str


class QueryGallery(NamedTuple):
    """What the gallery of the service has: the frame's file, and what is on it."""

    frame: Path
    vehicles: list[Drawn]


def enrol_gallery(client: httpx2.Client, demo: Path, folder: Path, num_records: int) -> QueryGallery:
    """Enrols a frame of drawn vehicles (camera ``gate``) and crops (camera ``mast``), with time and place."""
    with (demo / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    on_frame = [row for row in rows if row["role"] == "gallery"][:NUM_ON_FRAME]
    crops = [row for row in rows if row not in on_frame][: num_records - NUM_ON_FRAME]

    pixels: NDArray[np.uint8] = np.full((CELL_PX * NUM_ON_FRAME // NUM_COLUMNS, CELL_PX * NUM_COLUMNS, 3), 90, np.uint8)
    boxes = []
    for index, row in enumerate(on_frame):
        vehicle = read_image(demo / row["path"])[:CELL_PX, :CELL_PX]
        height, width = vehicle.shape[:2]
        x, y = CELL_PX * (index % NUM_COLUMNS), CELL_PX * (index // NUM_COLUMNS)
        pixels[y : y + height, x : x + width] = vehicle
        boxes.append((x, y, width, height))
    frame = folder / "frame.png"
    frame.write_bytes(encode_image(pixels, "PNG"))

    when_and_where = {"captured_at": "2026-05-01T12:00:00Z", "latitude": 48.137, "longitude": 11.575}
    metadata = [
        {
            "camera": "gate",
            **when_and_where,
            "boxes": [
                {"box": list(box), "identity": row["identity"]} for box, row in zip(boxes, on_frame, strict=True)
            ],
        },
        *({"camera": "mast", "identity": row["identity"], **when_and_where} for row in crops),
    ]
    files = [frame, *(demo / row["path"] for row in crops)]
    answer = client.post(
        "/gallery",
        files=[("images", (path.name, path.read_bytes())) for path in files],
        data={"metadata": json.dumps(metadata)},
    )
    assert answer.status_code == 201, answer.text
    results = answer.json()["results"][:NUM_ON_FRAME]
    return QueryGallery(
        frame,
        [
            Drawn(row["identity"], demo / row["path"], box, result["id"])
            for row, box, result in zip(on_frame, boxes, results, strict=True)
        ],
    )
