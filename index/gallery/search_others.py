"""The nearest records of a vehicle that is in the gallery itself, or may be: all but its own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

from index.gallery.answers import Match, SearchResult
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record

# How many times as many records are asked for where too many of them do not count.
_GROWTH: Final = 4


def search_others(
    gallery: Gallery,
    record: Record,
    top_k: int,
    where: Filter,
    group_by: Literal["identity"] | None = None,
    *,
    of_other_images: bool,
) -> SearchResult:
    """The `top_k` nearest records that pass the filter, by rising (distance, id), but for the record with the same id.

    Of those that do not count, `searched` leaves out what was found among the nearest.

    With `group_by`, the nearest of each identity among those that count; one without identity is a group of its own.

    Args:
        gallery: which need not have the record.
        record: what is searched for; its embedding is the gallery's model's.
        top_k: at least 1.
        where: which records are searched.
        group_by: as in `Gallery.search`.
        of_other_images: whether the other records of the same image file do not count either: vehicles of one frame
            are different vehicles.
    """

    def counts(match: Match) -> bool:
        return match.record.id != record.id and not (of_other_images and match.record.content == record.content)

    if group_by is None:
        return _nearest(gallery, record, top_k, where, counts)
    found, asked = gallery.search(record.embedding, top_k + 1, where, group_by), top_k + 1
    while len(found.matches) == asked and sum(map(counts, found.matches)) < top_k:
        asked *= _GROWTH
        found = gallery.search(record.embedding, asked, where, group_by)
    chosen = [match for match in found.matches if counts(match)]
    num_not_counted = len(found.matches) - len(chosen)
    # Where an identity's nearest record does not count, the nearest of it that does stands for it.
    for identity in _identities([match for match in found.matches if not counts(match)]):
        chosen += _nearest(gallery, record, 1, replace(where, identity=identity), counts).matches
    chosen.sort(key=lambda match: (match.distance, match.record.id))
    return SearchResult(chosen[:top_k], found.searched - num_not_counted)


def _nearest(
    gallery: Gallery, record: Record, top_k: int, where: Filter, counts: Callable[[Match], bool]
) -> SearchResult:
    asked = top_k + 1
    while True:
        found = gallery.search(record.embedding, asked, where)
        matches = [match for match in found.matches if counts(match)]
        if len(matches) >= top_k or len(found.matches) < asked:
            return SearchResult(matches[:top_k], found.searched - (len(found.matches) - len(matches)))
        asked *= _GROWTH


def _identities(matches: Sequence[Match]) -> list[str]:
    identities = (match.record.fields.identity for match in matches)
    return list(dict.fromkeys(identity for identity in identities if identity is not None))
