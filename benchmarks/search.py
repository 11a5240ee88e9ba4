"""How fast the gallery's exact search is, beside FAISS's flat index, a matrix product, and reading the vectors once.

    python -m benchmarks.search [--data MANIFEST --checkpoint FILE] [--embeddings FILE.npz] [--rows N ..]
        [--quick] [--json]

Galleries: the embeddings of the data's crops, as many as there are; larger ones from a normal model fitted to them
(`benchmarks.embedding_model`); and Gaussian noise, on which no bound helps. Queries are views that are not in the
gallery; half of them are of vehicles that are not there at all. All engines are timed in turns, in one process, one
after the other in every round; medians. `exact` says that every answer was the one of float64 over all rows. Ours is
timed with filters too, which let 1 % and 50 % of the rows pass, here and there.

--embeddings keeps the data's embeddings in a file, so that the next run need not compute them.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.embedding_model import EmbeddingModel
from index.command_parser import CommandParser
from index.datasets.bulk_embedding import embed_entries
from index.datasets.manifest import ManifestError, read_manifest
from index.datasets.protocol import ProtocolError
from index.embedded.search.row_blocks import RowBlocks
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from model.checkpoint import CheckpointError, load_checkpoint
from model.cores import usable_cores
from model.embedder import Embedder, pick_device
from model.given_path import given_path
from model.image import ImageError
from training.arguments import at_least_one

TOP_K: Final = 10
BATCH: Final = 64
_DEMO: Final = Path(__file__).resolve().parent.parent / "demo"
_VIEWS: Final = 9
_SEED: Final = 16
FILTERS: Final = {
    "ours, 1 % pass": Filter(cameras=("camera 7",)),
    "ours, 50 % pass": Filter(tags=("half",)),
}
_NUM_ENGINES: Final = 4 + len(FILTERS)


@dataclass(frozen=True, eq=False)
class Galleries:
    """A gallery (N, D) and queries (64, D), half of which have no vehicle in it."""

    name: str
    rows: NDArray[np.float32]
    queries: NDArray[np.float32]


def of_data(embeddings: NDArray[np.float32], identities: NDArray[np.str_], rng: np.random.Generator) -> Galleries:
    """Real embeddings: 32 vehicles are taken out as a whole, and one view each of 32 others."""
    vehicles = rng.permutation(np.unique(identities))
    queries, kept = [], np.ones(len(identities), np.bool_)
    for number, vehicle in enumerate(vehicles[:BATCH]):
        views = np.flatnonzero(identities == vehicle)
        queries.append(views[0])
        kept[views if number % 2 else views[:1]] = False
    return Galleries("real", np.ascontiguousarray(embeddings[kept]), np.ascontiguousarray(embeddings[queries]))


def of_model(model: EmbeddingModel, num_rows: int, rng: np.random.Generator) -> Galleries:
    """Drawn from the model: views of vehicles, and further views of some of them and of others."""
    num_vehicles = -(-num_rows // _VIEWS)
    rows = np.concatenate(
        [model.draw(min(1000, num_vehicles - start), _VIEWS + 1, rng) for start in range(0, num_vehicles, 1000)]
    )
    present = rows[: BATCH // 2, _VIEWS]
    absent = model.draw(BATCH // 2, 1, rng)[:, 0]
    gallery = rows[:, :_VIEWS].reshape(-1, rows.shape[2])[:num_rows]
    return Galleries("model", np.ascontiguousarray(gallery), np.concatenate([present, absent]))


def of_noise(num_rows: int, dim: int, rng: np.random.Generator) -> Galleries:
    """Gaussian noise, the same in all directions."""
    return Galleries(
        "noise", rng.standard_normal((num_rows, dim), np.float32), rng.standard_normal((BATCH, dim), np.float32)
    )


def measure_gallery(gallery: Galleries, num_rounds: int, bar: "tqdm[Any]") -> list[dict[str, Any]]:
    """A row per engine; medians over the rounds in ms."""
    rows, queries = gallery.rows, gallery.queries
    num, dim = rows.shape
    blocks = RowBlocks(dim, usable_cores())
    fields = _drawn_fields(num)
    start = time.perf_counter()
    for first in range(0, num, 4096):
        seqs = range(first + 1, min(first + 4096, num) + 1)
        new = slice(first, first + len(seqs))
        blocks.add(rows[new], seqs, [f"{seq:032x}" for seq in seqs], fields[new])
    blocks.settle()
    build_s = time.perf_counter() - start
    flat = faiss.IndexFlatL2(dim)
    flat.add(rows)
    squares = np.einsum("nd,nd->n", rows, rows)

    def product(asked: NDArray[np.float32]) -> None:
        for row in (asked @ rows.T) * -2 + squares:
            np.argpartition(row, TOP_K)[:TOP_K]

    def filtered(where: Filter, asked: NDArray[np.float32]) -> None:
        blocks.search(asked, TOP_K, lambda block: block.columns.passing(where))

    engines: dict[str, Callable[[NDArray[np.float32]], object]] = {
        "ours": lambda asked: blocks.search(asked, TOP_K),
        "IndexFlatL2": lambda asked: flat.search(asked, TOP_K),
        "NumPy product": product,
        "one read": lambda _: np.add.reduce(rows.reshape(-1).view(np.uint64)),
        **{name: partial(filtered, where) for name, where in FILTERS.items()},
    }
    took: dict[str, dict[str, list[float]]] = {name: {"one": [], "batch": []} for name in engines}
    for round_ in range(num_rounds + 1):
        for name, engine in engines.items():
            for kind, asked in (("one", queries[round_ % BATCH][None]), ("batch", queries)):
                start = time.perf_counter()
                engine(asked)
                if round_:
                    took[name][kind].append((time.perf_counter() - start) * 1e3)
            bar.update()
    exact = _is_exact(blocks, rows, queries)
    blocks.close()
    return [
        {
            "gallery": gallery.name,
            "num_rows": num,
            "dim": dim,
            "engine": name,
            "one_ms": statistics.median(times["one"]),
            "batch_ms": statistics.median(times["batch"]),
            **({"exact": exact, "build_s": build_s} if name == "ours" else {}),
        }
        for name, times in took.items()
    ]


def _drawn_fields(num: int) -> list[Fields]:
    """Of rows that `FILTERS` ask for: one of a hundred cameras, and a tag that half of them have."""
    rng = np.random.default_rng(_SEED)
    cameras, is_half = rng.integers(100, size=num).tolist(), (rng.random(num) < 0.5).tolist()
    return [
        Fields(camera=f"camera {camera}", tags=("half",) if half else ())
        for camera, half in zip(cameras, is_half, strict=True)
    ]


def _is_exact(blocks: RowBlocks, rows: NDArray[np.float32], queries: NDArray[np.float32]) -> bool:
    """Whether each answer is that of float64 over all rows, by (distance, id); ids rise with seqs here."""
    for query, found in zip(queries, blocks.search(queries, TOP_K), strict=True):
        distances = np.concatenate(
            [
                np.sqrt(np.square(np.subtract(rows[start : start + 4096], query, dtype=np.float64)).sum(axis=1))
                for start in range(0, len(rows), 4096)
            ]
        )
        order = np.argsort(distances, kind="stable")[:TOP_K]
        if found.seq.tolist() != (order + 1).tolist() or found.distance.tolist() != distances[order].tolist():
            return False
    return True


def spectrum(embeddings: NDArray[np.float32]) -> dict[str, float]:
    """The share of the variance in the first 16, 64, 256 and 1024 principal directions."""
    values = np.linalg.svd(embeddings - embeddings.mean(axis=0), compute_uv=False) ** 2
    return {str(num): float(values[:num].sum() / values.sum()) for num in (16, 64, 256, 1024)}


def embed(data: Path, checkpoint: Path, kept: Path | None) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """The embeddings (N, D) of a manifest's crops, and their identities; from the file `kept`, if it is there."""
    if kept is not None and kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            return stored["embeddings"], stored["identities"]
    manifest, embedder = read_manifest(data), Embedder(load_checkpoint(checkpoint), pick_device("auto"))
    found = embed_entries(manifest, manifest.entries, embedder.card.preprocessing, embedder.embed_prepared)
    identities = np.array([entry.identity for entry in manifest.entries])
    if kept is not None:
        np.savez(kept, embeddings=found.embedding, identities=identities)
    return found.embedding, identities


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All galleries; JSON values."""
    embeddings, identities = embed(args.data, args.checkpoint, args.embeddings)
    rng = np.random.default_rng(_SEED)
    model = EmbeddingModel(embeddings, identities.tolist())
    dim = embeddings.shape[1]
    largest = max(args.rows)
    num_rounds = 3 if args.quick else args.rounds
    galleries: list[Callable[[], Galleries]] = [lambda: of_data(embeddings, identities, rng)]
    galleries += [partial(of_model, model, num, rng) for num in args.rows]
    galleries += [lambda: of_noise(min(largest, 100_000), dim, rng)]
    rows: list[dict[str, Any]] = []
    with tqdm(total=len(galleries) * (num_rounds + 1) * _NUM_ENGINES, unit="round", disable=None) as bar:
        for make in galleries:
            rows += measure_gallery(make(), num_rounds, bar)
    return {
        "headline": _headline(rows),
        "rows": rows,
        "spectrum": spectrum(embeddings[:: max(1, len(embeddings) // 5000)]),
        "machine": {
            "processor": platform.machine(),
            "num_cores": usable_cores(),
            "faiss": faiss.__version__,
            "numpy": np.__version__,
        },
    }


def _headline(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the contract names: of 100,000 rows, where they were measured; real ones, where there are about as many."""
    by = {(row["gallery"], row["engine"]): row for row in rows if 95_000 <= row["num_rows"] <= 100_000}
    of_vehicles = "real" if ("real", "ours") in by else "model"

    def ratio(gallery: str, other: str, kind: str) -> float | None:
        ours, theirs = by.get((gallery, "ours")), by.get((gallery, other))
        return None if ours is None or theirs is None else theirs[kind] / ours[kind]

    filters = [ratio(of_vehicles, name, kind) for name in FILTERS for kind in ("one_ms", "batch_ms")]
    noise = [ratio("noise", "IndexFlatL2", kind) for kind in ("one_ms", "batch_ms")]
    return {
        "exact": all(row["exact"] for row in rows if row["engine"] == "ours"),
        "speedup_vs_flat_100k": ratio(of_vehicles, "IndexFlatL2", "one_ms"),
        "speedup_vs_read_100k": ratio(of_vehicles, "one read", "one_ms"),
        "speedup_vs_flat_batch64_100k": ratio(of_vehicles, "IndexFlatL2", "batch_ms"),
        "worst_case_slowdown_100k": max((1 / r for r in noise if r), default=None),
        "filter_slowdown_100k": max((r for r in filters if r), default=None),
    }


def main() -> int:
    """The command."""
    args = _parser().parse_args()
    if args.quick:
        args.rows = [10_000]
    try:
        result = measure(args)
    except (ManifestError, ProtocolError, CheckpointError, ImageError, OSError) as error:
        print(f"benchmarks.search: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        print(
            f"{row['gallery']:6} {row['num_rows']:8} rows  {row['engine']:15} one {row['one_ms']:8.2f} ms"
            f"  batch of {BATCH} {row['batch_ms']:8.1f} ms" + ("" if row.get("exact", True) else "  NOT EXACT")
        )
    print(json.dumps({"headline": result["headline"], "spectrum": result["spectrum"]}, indent=2))
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--data", type=given_path, default=_DEMO, help="whose crops are embedded (default: the demo's)")
    parser.add_argument("--checkpoint", type=given_path, default=_DEMO / "sanet.safetensors", help="with what")
    parser.add_argument("--embeddings", type=given_path, help="a .npz file that keeps them")
    parser.add_argument(
        "--rows", type=at_least_one, nargs="+", default=[10_000, 100_000], help="of the model's galleries"
    )
    parser.add_argument("--rounds", type=at_least_one, default=7, help="of timing")
    parser.add_argument("--quick", action="store_true", help="10,000 rows, under a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
