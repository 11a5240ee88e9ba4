"""A data set in one small file: crops at the network's size, as WebP, with their manifest.

A crop is cut at its box and made no larger than the network's input, so that preparing it again gives nearly what
preparing the original gives. A mask travels as the picture's fourth channel.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from tqdm import tqdm

from index.datasets.bulk_embedding import cut_entry
from index.datasets.manifest import Entry, Manifest, write_manifest
from index.datasets.protocol import Protocol
from model.image import read_image
from training.crops import MASK_COLUMN

_QUALITY: Final = 85


def pack(manifest: Manifest, entries: Sequence[Entry], out: Path, size_px: int) -> None:
    """Writes the entries' crops and what is known of them into one archive.

    Raises:
        ImageError, BoxError, OSError: an image cannot be used.
    """
    with zipfile.ZipFile(out, "w") as archive:
        for number, entry in enumerate(tqdm(entries, out.name, unit="img")):
            picture = _small(Image.fromarray(cut_entry(entry, read_image(manifest.path_of(entry)))), size_px)
            if name := entry.further.get(MASK_COLUMN):
                with Image.open(manifest.path_of(entry).parent / name) as mask:
                    whole = np.repeat(np.asarray(mask.convert("L"))[:, :, None], 3, axis=2)
                picture.putalpha(_small(Image.fromarray(cut_entry(entry, whole)[:, :, 0]), size_px))
            stream = io.BytesIO()
            # Exact: what lies outside the mask is to be seen.
            picture.save(stream, "WEBP", quality=_QUALITY, method=4, exact=True)
            archive.writestr(f"{number}.webp", stream.getvalue())
        lines = [
            [e.identity, e.role or "", e.split, {k: v for k, v in e.further.items() if k != MASK_COLUMN}]
            for e in entries
        ]
        archive.writestr("lines.json", json.dumps([manifest.protocol.dataset, lines]), zipfile.ZIP_DEFLATED)


def _small(picture: Image.Image, size_px: int) -> Image.Image:
    """No larger than that a side. Before a mask becomes its transparency: Pillow forgets what is transparent."""
    picture.thumbnail((size_px, size_px), Image.Resampling.BILINEAR)
    return picture


def unpack(archive_file: Path, out: Path) -> Path:
    """Writes the archive's crops as files, with a manifest, whose path it returns."""
    entries = []
    with zipfile.ZipFile(archive_file) as archive:
        (out / "images").mkdir(parents=True, exist_ok=True)  # there are some where it was interrupted
        dataset, lines = json.loads(archive.read("lines.json"))
        for number, (identity, role, split, further) in enumerate(lines):
            data = archive.read(f"{number}.webp")
            name = f"images/{number}.webp"
            with Image.open(io.BytesIO(data)) as picture:
                if picture.mode == "RGBA":
                    mask = f"{number}.mask.png"
                    picture.getchannel("A").save(out / "images" / mask)
                    further = {**further, MASK_COLUMN: mask}
                    stream = io.BytesIO()
                    picture.convert("RGB").save(stream, "PNG", compress_level=1)
                    name, data = f"images/{number}.png", stream.getvalue()
            (out / name).write_bytes(data)
            entries.append(Entry(name, identity, role=role or None, split=split, further=further))
    write_manifest(out / "manifest.csv", entries, Protocol(dataset))
    return out / "manifest.csv"
