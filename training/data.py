"""What a run learns from, and who is kept aside to pick its best epoch."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from index.datasets.manifest import Entry, Manifest, ManifestError
from index.datasets.protocol import Protocol
from index.datasets.repeats import require_one_vehicle, without_repeats
from index.datasets.task import Task, one_gallery_image, plan_task
from training.recipe import Validation

# Identities kept aside where the data has no split val: one in ten, but never so few that the figure is a dice roll.
_HELD_OUT_SHARE: Final = 0.1
_FEWEST_HELD_OUT: Final = 10


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and what it is judged by.

    Attributes:
        entries, labels: the training images and their identities' class indices, in the order of the sorted identities.
        num_labels: identities to learn.
        validation: the task that picks the best epoch; None if there is none.
        fingerprint: SHA-256 over the training lines and the validation's.
    """

    manifest: Manifest
    entries: tuple[Entry, ...]
    labels: tuple[int, ...]
    num_labels: int
    validation: Task | None
    fingerprint: str

    def without(self, positions: Collection[int]) -> "TrainingData":
        """The same run without some of its images: the others keep their labels."""
        kept = [position for position in range(len(self.entries)) if position not in positions]
        entries, labels = (tuple(values[position] for position in kept) for values in (self.entries, self.labels))
        return replace(self, entries=entries, labels=labels)  # type: ignore[arg-type]


def training_data(manifest: Manifest, validation: Validation) -> TrainingData:
    """The training images and the validation asked for.

    For training are the images with the role train and an identity; where no image has a role, those of the split
    train or of none. Lines that repeat another are left out; the manifest's warnings count them.

    Raises:
        ManifestError: nothing to train on, no such validation, or an image and box that is two vehicles.
        ProtocolError: the validation's images cannot answer its question.
    """
    manifest = without_repeats(manifest)
    has_roles = any(entry.role is not None for entry in manifest.entries)
    if has_roles:
        entries = [entry for entry in manifest.entries if entry.identity and entry.role == "train"]
    else:
        entries = [entry for entry in manifest.entries if entry.identity and entry.split in ("", "train")]
    if not entries:
        roles = ", ".join(f"{role or 'none'} {number}" for role, number in manifest.count("role").items())
        raise ManifestError(f"no image to train on: none has the role train and an identity; the roles are {roles}")
    require_one_vehicle(manifest.folder, entries)
    if validation == "auto":
        num_identities = len({entry.identity for entry in entries})
        enough = num_identities * _HELD_OUT_SHARE >= _FEWEST_HELD_OUT
        validation = "val" if _has_val(manifest) else "held_out" if enough else "none"
    task = None
    if validation == "val":
        if not _has_val(manifest):
            raise ManifestError("the data has no queries in a split val: choose another validation, or auto")
        task = plan_task(manifest, "val")
    elif validation == "train":
        task = _own_task(manifest, entries)
    elif validation == "held_out":
        held_out = _held_out(entries)
        task = _own_task(manifest, [entry for entry in entries if entry.identity in held_out])
        entries = [entry for entry in entries if entry.identity not in held_out]
    labels = {identity: label for label, identity in enumerate(sorted({entry.identity for entry in entries}))}
    return TrainingData(
        manifest,
        tuple(entries),
        tuple(labels[entry.identity] for entry in entries),
        len(labels),
        task,
        data_fingerprint(entries, task),
    )


def _own_task(manifest: Manifest, entries: list[Entry]) -> Task:
    """Training images as a task of our own making: one gallery image each, and no rule of the data set's protocol."""
    of_one_split = one_gallery_image(replace(entry, split="") for entry in entries)
    return plan_task(Manifest(manifest.folder, tuple(of_one_split), Protocol(dataset=manifest.protocol.dataset)))


def _has_val(manifest: Manifest) -> bool:
    """Whether there are queries in the split val, given or drawn."""
    return any(
        entry.split == "val" and (entry.role == "query" or (manifest.protocol.num_draws and entry.further.get("draws")))
        for entry in manifest.entries
    )


def _held_out(entries: list[Entry]) -> frozenset[str]:
    """The same identities whatever the run's seed, so that runs can be compared."""
    identities = sorted({entry.identity for entry in entries})
    number = max(round(_HELD_OUT_SHARE * len(identities)), 2)
    if number + 2 > len(identities):
        raise ManifestError(f"{len(identities)} identities are too few to hold some out: validate on train or none")
    return frozenset(np.random.default_rng(0).permutation(identities)[:number].tolist())


def data_fingerprint(entries: Sequence[Entry], task: Task | None) -> str:
    """SHA-256 over the lines that are trained on and those of a task."""
    evaluated = () if task is None else task.queries + task.gallery
    lines = [[e.path, e.identity, str(e.box), e.role, e.camera] for e in (*entries, *evaluated)]
    return hashlib.sha256(json.dumps([len(entries), lines]).encode()).hexdigest()
