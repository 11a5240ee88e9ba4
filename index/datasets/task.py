"""The question of an evaluation: who is looked for among whom, by which rule, and what can be wrong with that."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from index.datasets.first_names import first_names
from index.datasets.manifest import Entry, Manifest, Role
from index.datasets.protocol import CameraRule, ProtocolError
from index.datasets.repeats import image_key, require_one_vehicle, without_repeats


@dataclass(frozen=True)
class Task:
    """A question that can be answered: who is looked for, among whom, by which rule.

    Attributes:
        manifest: where the images lie.
        dataset: its name.
        queries: each with a true match in the gallery.
        gallery: each with an identity, but for distractors.
        num_unmatched: queries left out because no gallery image can be their match.
        num_junk: junk images left out.
        warnings: what a reader of the figures has to know.
        further_draws: the same question with other images drawn by chance; the figures are the mean over all.
    """

    manifest: Manifest
    dataset: str
    split: str
    camera_rule: CameraRule
    queries: tuple[Entry, ...]
    gallery: tuple[Entry, ...]
    num_unmatched: int
    num_junk: int
    warnings: tuple[str, ...]
    further_draws: tuple["Task", ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All images: the queries, the gallery, and what only further draws use."""
        entries = self.queries + self.gallery
        seen = {entry.key for entry in entries}
        further = (entry for draw in self.further_draws for entry in draw.queries + draw.gallery)
        return entries + tuple({entry.key: entry for entry in further if entry.key not in seen}.values())


def plan_task(manifest: Manifest, split: str | None = None, camera_rule: CameraRule | None = None) -> Task:
    """Picks queries and gallery and checks them, before anything is embedded.

    Lines that repeat another are left out with a warning. A query that lies in the gallery too is not refused, because
    in some published sets each does and the rule same_camera removes it; where it finds itself, the evaluation warns.

    Args:
        manifest: with its protocol; its warnings become the task's.
        split: by default the only one that has queries, or ``test``.
        camera_rule: by default the manifest's.

    Raises:
        ManifestError: one image and box is two vehicles, or otherwise contradicts itself.
        ProtocolError: the figures would be wrong or meaningless; the message says why and what to do.
    """
    manifest = without_repeats(manifest)
    if manifest.protocol.num_draws and any(entry.further.get("draws") for entry in manifest.entries):
        draws = range(manifest.protocol.num_draws)
        first, *others = (_plan(_drawn(manifest, draw), split, camera_rule) for draw in draws)
        task = replace(first, further_draws=tuple(others))
    else:
        task = _plan(manifest, split, camera_rule)
    warnings = (*manifest.warnings, *task.warnings, *_trained_on(task))
    return replace(task, warnings=warnings)


def _plan(manifest: Manifest, split: str | None, camera_rule: CameraRule | None) -> Task:
    warnings: list[str] = []
    if all(entry.role is None for entry in manifest.entries):
        manifest = replace(manifest, entries=tuple(one_gallery_image(manifest.entries)))
        warnings.append("no image has a role: the first of each identity is its gallery image, the others are queries")
    split = _pick_split(manifest) if split is None else split
    rule = manifest.protocol.camera_rule if camera_rule is None else camera_rule
    # Junk and distractors without a split belong to each.
    used = manifest.keep(
        lambda entry: entry.split in (split, "") if entry.role in ("junk", "distractor") else entry.split == split
    )
    require_one_vehicle(used.folder, (entry for entry in used.entries if entry.role not in (None, "train")))
    queries = used.keep(lambda entry: entry.role == "query").entries
    gallery = used.keep(lambda entry: entry.role in ("gallery", "distractor")).entries
    if not queries or not any(entry.role == "gallery" for entry in gallery):
        raise ProtocolError(
            f"the split {split!r} has {len(queries)} query and {len(gallery)} gallery images: both are needed; its "
            f"roles are {_counts(manifest.keep(lambda entry: entry.split == split).count('role'))}"
        )
    _require_identities(queries, gallery)
    warnings += _check_cameras(queries, gallery, rule, manifest.protocol.dataset)
    warnings += _check_roles(queries, gallery, manifest.protocol.gallery_per_identity)
    matched = _with_match(queries, gallery, rule)
    if not matched:
        found = {entry.identity for entry in gallery if entry.role == "gallery"}
        identities = len({entry.identity for entry in queries} & found)
        raise ProtocolError(
            f"no query has a true match in the gallery: query and gallery share {identities} identities"
            + (", and the rule same_camera removes each of their pairs: use the camera rule none" if identities else "")
        )
    warnings += left_out(queries, gallery, rule)
    num_junk = sum(entry.role == "junk" for entry in used.entries)
    dataset = manifest.protocol.dataset
    return Task(
        manifest, dataset, split, rule, matched, gallery, len(queries) - len(matched), num_junk, tuple(warnings)
    )


def left_out(queries: Sequence[Entry], gallery: Sequence[Entry], rule: CameraRule) -> list[str]:
    """Warnings, by name, of the queries that nothing can match and of the vehicles that nobody can look for."""
    warnings = []
    matched = {entry.key for entry in _with_match(queries, gallery, rule)}
    unmatched = [entry for entry in queries if entry.key not in matched]
    if unmatched:
        names = first_names([f"{entry.place} of {entry.identity}" for entry in unmatched])
        warnings.append(
            f"{len(unmatched)} of {len(queries)} queries have no true match in the gallery (their identity is not "
            f"there, or only in images that the camera rule removes): they are left out, as the field does: {names}"
        )
    count = Counter(entry.identity for entry in (*queries, *gallery) if entry.role != "distractor")
    looked_for = {entry.identity for entry in queries}
    single = sorted(name for name, number in count.items() if name and number == 1 and name not in looked_for)
    if single:
        warnings.append(
            f"identities with a single image, which is in the gallery and nobody's match: {len(single)} "
            f"({first_names(single)})"
        )
    return warnings


def _trained_on(task: Task) -> list[str]:
    key_of = image_key(task.manifest.folder)
    trained = {key_of(entry) for entry in task.manifest.entries if entry.role == "train"}
    shared = sum(key_of(entry) in trained for entry in task.entries) if trained else 0
    if not shared:
        return []
    return [f"{shared} images of the split {task.split!r} are training images too: a network knows them by heart"]


def one_gallery_image(entries: Iterable[Entry]) -> list[Entry]:
    """Gives roles, identity by identity in each split: the first image by path is the gallery's, the others queries.

    That is UAV-VeID's protocol. An identity of one image has no query, it only makes the gallery larger.
    """
    seen: set[tuple[str, str]] = set()
    given = []
    for entry in sorted(filter(lambda entry: entry.identity, entries), key=lambda entry: (entry.path, str(entry.box))):
        place = entry.split, entry.identity
        given.append(replace(entry, role="query" if place in seen else "gallery"))
        seen.add(place)
    return given


def _drawn(manifest: Manifest, draw: int) -> Manifest:
    """The manifest with the roles of one draw: an image without a role gets the drawn one or the other."""
    drawn = manifest.protocol.drawn_role
    other: Role = "query" if drawn == "gallery" else "gallery"
    entries = (
        replace(entry, role=drawn if str(draw) in entry.further.get("draws", "").split() else other, further={})
        if entry.role is None and entry.identity
        else replace(entry, further={})
        for entry in manifest.entries
    )
    return replace(manifest, entries=tuple(entries))


def _pick_split(manifest: Manifest) -> str:
    queries = [entry for entry in manifest.entries if entry.role == "query"]
    # A split whose identities are not public, such as VRAI's test, is never meant unless it is named.
    splits = {entry.split for entry in queries if entry.identity} or {entry.split for entry in queries}
    if not splits:
        raise ProtocolError(
            f"no line of the manifest has the role query, its roles are {_counts(manifest.count('role'))}: give each "
            "image that is looked for the role query and each that may be found the role gallery"
        )
    if len(splits) > 1 and "test" not in splits:
        raise ProtocolError(f"there are queries in the splits {', '.join(sorted(splits))}: choose one with --split")
    return "test" if len(splits) > 1 else splits.pop()


def _require_identities(queries: Sequence[Entry], gallery: Sequence[Entry]) -> None:
    for entry in (*queries, *gallery):
        if not entry.identity and entry.role != "distractor":
            raise ProtocolError(
                f"{entry.path} has the role {entry.role} and no identity: give it one, or the role junk or distractor; "
                "where identities are not public, as VRAI's of its test split, choose another --split"
            )


def _check_cameras(queries: Sequence[Entry], gallery: Sequence[Entry], rule: CameraRule, dataset: str) -> list[str]:
    known = [bool(entry.camera) for entry in (*queries, *gallery) if entry.role != "distractor"]
    if rule == "none":
        if all(known) and len({entry.camera for entry in queries}) > 1:
            return [
                "the images have cameras, and the camera rule none counts a view by the query's own camera as a match"
            ]
        return []
    if not all(known):
        raise ProtocolError(
            f"the rule same_camera removes what the query's own camera saw, but {known.count(False)} of {len(known)} "
            f"images of {dataset} have no camera. Without cameras it would remove true matches, or all: use the camera "
            "rule none, or give every image its camera"
        )
    return []


def _check_roles(queries: Sequence[Entry], gallery: Sequence[Entry], gallery_per_identity: int | None) -> list[str]:
    of_query = Counter(entry.identity for entry in queries)
    of_gallery = Counter(entry.identity for entry in gallery if entry.role == "gallery")
    if gallery_per_identity is not None and set(of_gallery.values()) != {gallery_per_identity}:
        swapped = set(of_query.values()) == {gallery_per_identity}
        raise ProtocolError(
            f"the protocol wants {gallery_per_identity} gallery image of each identity, and there are "
            f"{min(of_gallery.values())} to {max(of_gallery.values())}"
            + (": the queries have just that, so query and gallery are likely swapped" if swapped else "")
        )
    if max(of_query.values()) == 1 and max(of_gallery.values()) > 1 and gallery_per_identity is None:
        return [
            "every identity has one query and some have several gallery images. The other way round (UAV-VeID, "
            "VehicleID: one gallery image, the rest queries) the figures would be others: say which way yours are"
        ]
    return []


def _with_match(queries: Sequence[Entry], gallery: Sequence[Entry], rule: CameraRule) -> tuple[Entry, ...]:
    cameras: dict[str, set[str]] = {}
    for entry in gallery:
        if entry.role == "gallery":
            cameras.setdefault(entry.identity, set()).add(entry.camera)
    removed = ({entry.camera} if rule == "same_camera" else set[str]() for entry in queries)
    return tuple(e for e, own in zip(queries, removed, strict=True) if cameras.get(e.identity, set()) - own)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{value or 'none'} {number}" for value, number in counter.most_common()) or "none"
