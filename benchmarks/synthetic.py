"""UAV-Synth: how fast it is drawn, what it looks like beside real crops, and how hard it is without training.

    python -m benchmarks.synthetic --data DIR [--trunk-weights FILE --stride 1x1 --bn-eps 1.001e-5]
        [--frames DIR --sheet FILE.png] [--quick] [--json]

Without --data a data set is drawn into a temporary folder. On its test split: CMC-1 by chance, of colour histograms,
and of the pooled features of a pre-trained trunk (conv1 to layer3, nothing trained on vehicles); the share of vehicles
that have a twin of the same type and colour; the spread of headings and sizes. --sheet mixes rendered crops with the
real ones of --frames and writes which is which into the .json beside it.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from index.command_parser import CommandParser
from index.datasets.bulk_embedding import cut_entry
from index.datasets.manifest import Manifest, ManifestError, read_manifest
from index.datasets.protocol import ProtocolError
from index.datasets.task import Task, plan_task
from index.ranking.evaluation import evaluate
from model.box import BoxError
from model.build import build_network
from model.config import BaselineConfig, ConfigError, Stride
from model.cores import usable_cores
from model.embedder import pick_device
from model.embeddings import Embeddings
from model.given_path import given_path
from model.image import ImageError, read_image
from model.number import decimal_number, whole_number
from model.preprocessing import Preprocessing
from model.pretrained import PretrainedError, load_pretrained
from training.alignment.headings import crop_size
from training.synthetic.generate import DataSet, SyntheticError, generate
from training.synthetic.settings import Settings

_BINS = (8, 4, 4)  # of hue, saturation and value
_SHEET_COLUMNS, _SHEET_CELL_PX = 12, 125
_STEEP_DEG = 70.0
_DRAWN_COLUMNS = {"type", "colour", "heading_deg"}


def colour_histograms(images: NDArray[np.uint8]) -> Embeddings:
    """The square roots of each image's joint HSV histogram (N, 128): their distance is Hellinger's."""
    rows = []
    for image in images:
        hsv = np.asarray(Image.fromarray(image).convert("HSV")).reshape(-1, 3)
        histogram, _ = np.histogramdd(hsv, bins=_BINS, range=[(0, 256)] * 3)
        rows.append(np.sqrt(histogram.reshape(-1) / len(hsv)))
    theta = np.tile(np.eye(2, 3, dtype=np.float32), (len(rows), 1, 1))
    return Embeddings(np.array(rows, np.float32), theta)


class TrunkFeatures:
    """Images (N, S, S, 3) to the averaged output of layer3, of unit length."""

    def __init__(self, weights: str, stride: Stride, bn_eps: float) -> None:
        self._device = pick_device("auto")
        network = build_network(BaselineConfig("resnet50", stride, bn_eps))
        load_pretrained(network, weights)
        self._network = network.eval().to(self._device)

    def __call__(self, images: NDArray[np.uint8]) -> Embeddings:
        """The features of one batch, in the form of an embedder's answer."""
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
            pooled = self._network.trunk(self._network.normalization(batch)).mean((2, 3))
            features = torch.nn.functional.normalize(pooled).cpu().numpy()
        return Embeddings(features, np.tile(np.eye(2, 3, dtype=np.float32), (len(features), 1, 1)))


def difficulty(task: Task, embedders: dict[str, Any]) -> list[dict[str, Any]]:
    """CMC-1 of each way to compare images, beside chance."""
    rows: list[dict[str, Any]] = [{"features": "chance", "cmc1": 1 / len(task.gallery)}]
    for name, embed in embedders.items():
        with tqdm(total=len(task.entries), desc=name, unit="img") as bar:
            result = evaluate(task, Preprocessing(), embed, bar.update)
        rows.append(
            {
                "features": name,
                "cmc1": result.cmc(1),
                "cmc10": result.cmc(10),
                "cmc1_interval": result.intervals["cmc1"],
                "intervals_over": "identities",
            }
        )
    return rows


def statistics(manifest: Manifest, task: Task) -> dict[str, Any]:
    """Who looks like whom, from where they are seen, and how large."""
    looks = {entry.identity: (entry.further["type"], entry.further["colour"]) for entry in task.gallery}
    count = Counter(looks.values())
    headings = np.array([float(entry.further["heading_deg"]) for entry in manifest.entries])
    sizes = [max(crop_size(manifest, entry)) for entry in manifest.entries]
    return {
        "num_images": len(manifest.entries),
        "num_identities": len({entry.identity for entry in manifest.entries}),
        "twin_share": sum(count[look] > 1 for look in looks.values()) / len(looks),
        "mean_look_alikes": float(np.mean([count[look] - 1 for look in looks.values()])),
        # 0 where all directions are alike, 1 where all headings are one.
        "heading_resultant": float(abs(np.exp(1j * np.deg2rad(headings)).mean())),
        "heading_octants": np.histogram(headings, 8, (-180, 180))[0].tolist(),
        "long_side_px": np.percentile(sizes, [0, 10, 50, 90, 100]).tolist(),
    }


def contact_sheet(manifest: Manifest, frames: Path, path: Path, seed: int, number: int = 72) -> None:
    """Rendered and real crops in equal parts, shuffled, each turned by a quarter or not.

    Like is put beside like, so that the look alone can tell them: for each real crop a rendered one of nearly its size,
    seen from steeply above, as in those frames.
    """
    random = np.random.default_rng(seed)
    real = read_manifest(frames)
    boxed = [entry for entry in real.entries if entry.box is not None]
    cells: list[tuple[str, Image.Image]] = []
    steep = [entry for entry in manifest.entries if float(entry.further.get("depression_deg", 0)) >= _STEEP_DEG]
    free = {index: max(crop_size(manifest, steep[index])) for index in random.permutation(len(steep)).tolist()}
    number = 2 * min(number // 2, len(boxed), len(steep))
    if not number:
        raise ManifestError(f"a sheet needs boxes in {frames} and rendered crops from {_STEEP_DEG:.0f}° or more above")
    for index in random.choice(len(boxed), number // 2, replace=False):
        pixels = read_image(real.path_of(boxed[index]))
        box = boxed[index].box
        assert box is not None
        crop = Image.fromarray(box.clip(pixels.shape[1], pixels.shape[0]).cut(pixels))
        _, nearest = min((abs(size - max(crop.size)), place) for place, size in free.items())
        del free[nearest]
        rendered = cut_entry(steep[nearest], read_image(manifest.path_of(steep[nearest])))
        cells += [("real", crop), ("rendered", Image.fromarray(rendered))]
    sheet = Image.new(
        "RGB", (_SHEET_COLUMNS * _SHEET_CELL_PX, -(-number // _SHEET_COLUMNS) * _SHEET_CELL_PX), (40,) * 3
    )
    truth = []
    for place, index in enumerate(random.permutation(number)):
        kind, crop = cells[index]
        turned = crop.transpose(Image.Transpose.ROTATE_90) if random.random() < 0.5 else crop
        factor = (_SHEET_CELL_PX - 5) / max(turned.size)
        size = (max(1, round(turned.width * factor)), max(1, round(turned.height * factor)))
        row, column = divmod(place, _SHEET_COLUMNS)
        sheet.paste(turned.resize(size, Image.Resampling.BICUBIC), (column * _SHEET_CELL_PX, row * _SHEET_CELL_PX))
        truth.append(kind)
    sheet.save(path)
    path.with_suffix(".json").write_text(json.dumps(truth), "utf-8")


def main() -> int:
    """The command: 0 with figures, 1 if there can be none, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m benchmarks.synthetic", description=__doc__)
    parser.add_argument("--data", type=given_path, help="a data set drawn before")
    parser.add_argument("--trunk-weights", help="weights of a ResNet-50's trunk")
    parser.add_argument("--stride", choices=get_args(Stride), default="3x3", help='"1x1" for ResNet-v1 weights')
    parser.add_argument(
        "--bn-eps", type=decimal_number, default=1e-5, help="BatchNorm epsilon of the weights (Keras 1.001e-5)"
    )
    parser.add_argument("--frames", type=given_path, help="real frames with a manifest, for the sheet")
    parser.add_argument("--sheet", type=given_path, help="the contact sheet to write (.png)")
    parser.add_argument("--sheet-seed", type=whole_number, default=0)
    parser.add_argument("--quick", action="store_true", help="a small data set, under a minute")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if (args.sheet is None) != (args.frames is None):
        parser.error("--sheet and --frames belong together")
    try:
        headline, rows = measure(args)
    except ConfigError as error:
        parser.error(str(error))
    except (ManifestError, ProtocolError, PretrainedError, ImageError, BoxError, SyntheticError, OSError) as error:
        sys.stderr.write(f"benchmarks.synthetic: {error}\n")
        return 1
    machine = {"machine": platform.machine(), "cores": usable_cores(), "python": platform.python_version()}
    result = {"headline": headline, "rows": rows, "machine": machine}
    sys.stdout.write(json.dumps(result, indent=None if args.json else 2) + "\n")
    return 0


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The headline and the rows; a sheet is written on the way, if there is to be one."""
    with tempfile.TemporaryDirectory() as temporary:
        speed: dict[str, Any] = {}
        if args.data is None:
            args.data = Path(temporary) / "uav-synth"
            speed = measure_speed(args.data, 20 if args.quick else 200)
        manifest = read_manifest(args.data)
        if any(not entry.further.keys() >= _DRAWN_COLUMNS for entry in manifest.entries):
            raise ManifestError(f"{args.data} is no UAV-Synth: its manifest lacks {', '.join(sorted(_DRAWN_COLUMNS))}")
        task = plan_task(manifest, "test")
        embedders: dict[str, Any] = {"colour histogram": colour_histograms}
        if args.trunk_weights:
            embedders["ImageNet trunk"] = TrunkFeatures(args.trunk_weights, args.stride, args.bn_eps)
        rows = difficulty(task, embedders)
        headline = speed | statistics(manifest, task) | {"protocol": manifest.protocol.info}
        if args.sheet is not None:
            contact_sheet(manifest, args.frames, args.sheet, args.sheet_seed)
    return headline, rows


def measure_speed(out: Path, num_identities: int) -> dict[str, Any]:
    """Draws a data set with a process for each core."""
    data_set = DataSet(num_identities, 9, 0, Settings())
    num_images = num_identities * 9
    start = time.perf_counter()
    with tqdm(total=num_images, unit="img") as bar:
        generate(out, data_set, usable_cores(), bar.update)
    seconds = time.perf_counter() - start
    return {"images_per_s": num_images / seconds, "minutes_for_10000": 10_000 / num_images * seconds / 60}


if __name__ == "__main__":
    sys.exit(main())
