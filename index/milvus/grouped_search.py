"""The nearest row of each identity, exactly. Milvus' own grouping looks at a part of the rows only."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.milvus.exact_search import ExactSearch
from index.milvus.expression import without
from index.milvus.field_codes import NO_TEXT
from index.milvus.found_rows import NO_ROWS, RankedRows

# How many times as many rows are asked for where those of a round belong to too few identities, and at most how many.
_GROWTH: Final = 2
_MOST_ROWS: Final = 4096


def nearest_groups(search: ExactSearch, queries: NDArray[np.float32], num: int, expression: str) -> list[RankedRows]:
    """For each of the queries (Q, D) the nearest row of each of the `num` nearest identities that have rows that pass.

    A row without an identity is a group of its own. Each further round looks at what is left without the groups found:
    all of that is farther, so that no crowd of one identity's rows can hide the next.

    Raises:
        GalleryError: the server cannot be asked.
    """
    answers = []
    for query, ranked in zip(queries, search.nearest(queries, num, expression), strict=True):
        groups, num_asked = NO_ROWS, num
        while True:
            groups = _with_groups_of(groups, ranked)
            if len(groups.seq) >= num or len(ranked.seq) < num_asked:
                break
            num_asked = max(num, min(_GROWTH * num_asked, _MOST_ROWS))
            is_named = groups.identity != NO_TEXT
            left = without(expression, groups.identity[is_named].tolist(), groups.seq[~is_named].tolist())
            (ranked,) = search.nearest(query[None], num_asked, left)
        answers.append(groups.first(num))
    return answers


def _with_groups_of(groups: RankedRows, ranked: RankedRows) -> RankedRows:
    """The groups, and the first row of each other group; rows may have changed theirs since the round before."""
    both = groups.followed_by(ranked)
    _, first = np.unique(both.identity, return_index=True)
    is_first = both.identity == NO_TEXT
    is_first[first] = True
    return both.at(is_first)
