"""Which model serves a data folder: the one that the settings name, once its records are there, else the one before."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from index.embedded.generation import Generation, kept_precision, models_of_records
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, read_card
from model.embedder import pick_device
from model.precision import choose_precision
from service.kept_checkpoints import KeptCheckpoints
from service.settings import Settings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelChoice:
    """What serves, and what is wanted.

    Attributes:
        checkpoint: of the model that serves.
        path: of that checkpoint.
        model: by which its embeddings are known.
        wanted: what the settings name; a job brings the records to it.
        generation: of the records that are served.
        found: what the data folder said before.
    """

    checkpoint: Checkpoint
    path: Path
    model: ModelKey
    wanted: ModelKey
    generation: Generation
    found: Generation


def choose_model(settings: Settings) -> ModelChoice:
    """Chooses by what a data folder says; nothing is written.

    The model that embedded the gallery serves on where it has embedded more records of it than the one that the
    settings name, and where a copy of its checkpoint was kept.

    Raises:
        CheckpointError: the checkpoint that the settings name cannot be used.
        GalleryError: the data folder cannot be read.
        ValueError: there is no such device.
    """
    data_dir = settings.data_dir
    generation = Generation.read(data_dir)
    before = generation.model
    wanted = _wanted(settings, read_card(settings.checkpoint).fingerprint)
    if before is not None and before != wanted:
        num_records = models_of_records(data_dir)
        if num_records.get(before, 0) > num_records.get(wanted, 0):
            if before.fingerprint == wanted.fingerprint:  # in another precision
                checkpoint, path = load_checkpoint(settings.checkpoint), settings.checkpoint
                return ModelChoice(checkpoint, path, before, wanted, generation, generation)
            copies = KeptCheckpoints(data_dir)
            kept = copies.load(before.fingerprint)
            if kept is not None:
                return ModelChoice(kept, copies.path(before.fingerprint), before, wanted, generation, generation)
            _LOG.warning("the records are not searched until they are embedded by the new model, one after the other")
    checkpoint = load_checkpoint(settings.checkpoint)
    wanted = _wanted(settings, checkpoint.card.fingerprint)
    serving = replace(generation, model=wanted)
    return ModelChoice(checkpoint, settings.checkpoint, wanted, wanted, serving, generation)


def settle(choice: ModelChoice, settings: Settings) -> None:
    """Notes in the data folder, which this process owns, which model serves, and keeps a copy of its checkpoint.

    Where the disk refuses, the log says so: queries are answered without it.

    Raises:
        GalleryError: the folder says something else by now.
    """
    if Generation.read(settings.data_dir) != choice.found:
        raise GalleryError(f"another process has changed which model serves {settings.data_dir}: start again")
    try:
        if choice.generation != choice.found:
            choice.generation.write(settings.data_dir)
        if choice.model.fingerprint == choice.wanted.fingerprint:
            KeptCheckpoints(settings.data_dir).keep(settings.checkpoint, choice.model.fingerprint)
    except (OSError, GalleryError, CheckpointError) as error:
        _LOG.error(
            "no copy of the checkpoint can be kept (%s): after a change of SANET_CHECKPOINT the gallery would not be "
            "searched until it is embedded anew",
            error,
        )


def _wanted(settings: Settings, fingerprint: str) -> ModelKey:
    kept = kept_precision(settings.data_dir, fingerprint) if settings.precision == "auto" else None
    return ModelKey(fingerprint, choose_precision(settings.precision, pick_device(settings.device), kept))
