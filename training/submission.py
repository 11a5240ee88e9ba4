"""VRAI's submission: ranked lists of the test set, whose identities only its authors know."""

from pathlib import Path

import numpy as np

from index.datasets.bulk_embedding import EmbedBatch, embed_entries
from index.datasets.manifest import Manifest
from index.datasets.protocol import ProtocolError
from index.ranking.ranking_metrics import squared_distances
from index.ranking.reranking import Refinement, expand_queries, rerank
from model.preprocessing import Preprocessing
from model.whole_file import whole_file

_BLOCK = 256


def write_submission(
    path: Path,
    manifest: Manifest,
    split: str,
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    refinement: Refinement | None = None,
) -> int:
    """Writes one line per query, in the order of the manifest; returns how many.

    A line has the positions (from 0, in the manifest's order of the split's gallery) of all gallery images, nearest
    first, separated by spaces.

    Raises:
        ProtocolError: the split has no queries or no gallery.
        ImageError, BoxError, OSError: an image cannot be used.
    """
    used = [entry for entry in manifest.entries if entry.split == split]
    queries = [entry for entry in used if entry.role == "query"]
    gallery = [entry for entry in used if entry.role == "gallery"]
    if not (queries and gallery):
        raise ProtocolError(f"the split {split!r} has {len(queries)} query and {len(gallery)} gallery images")
    embeddings = embed_entries(manifest, [*queries, *gallery], preprocessing, embed_batch).embedding
    asked, found = embeddings[: len(queries)], embeddings[len(queries) :]
    if refinement is not None and refinement.num_expand:
        asked = expand_queries(asked, found, refinement.num_expand)
    if refinement is not None and refinement.reranking is not None:
        blocks = rerank(asked, found, refinement.reranking)
    else:
        blocks = (squared_distances(asked[i : i + _BLOCK], found) for i in range(0, len(asked), _BLOCK))
    with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
        for block in blocks:
            for row in np.argsort(block, axis=1, kind="stable"):
                file.write(" ".join(map(str, row.tolist())) + "\n")
    return len(queries)
