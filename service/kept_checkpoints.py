"""Copies of the checkpoints by which a gallery's records were embedded: they answer until another model's are there."""

import logging
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from index.embedded.disk import sync_folder
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, read_card

_LOG = logging.getLogger(__name__)

_COPY: Final = re.compile(r"([0-9a-f]{64})(\.safetensors|\.tmp)")


class KeptCheckpoints:
    """``DATA_DIR/checkpoints/FINGERPRINT.safetensors``, for a process that owns the folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "checkpoints"

    def keep(self, source: Path, fingerprint: str) -> None:
        """Copies a checkpoint, durably; one that is there already, with the same annotations, stays.

        A copy and no link, because whoever brings a new checkpoint may write it over the old one.

        Raises:
            CheckpointError: the file is another model's by now.
            OSError: the disk refuses.
        """
        target = self.path(fingerprint)
        if _is_copy(target, source):
            return
        self._folder.mkdir(exist_ok=True)
        temporary = target.with_suffix(".tmp")
        try:
            _copy(source, temporary)
            found = read_card(temporary).fingerprint
            if found != fingerprint:
                raise CheckpointError(
                    f"the checkpoint {source} is another one now, {found:.12}, than when the service started: start it "
                    "again"
                )
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)

    def load(self, fingerprint: str) -> Checkpoint | None:
        """The model with this fingerprint; where no copy of it can be used, None, and the log says why."""
        try:
            checkpoint = load_checkpoint(self.path(fingerprint))
            if checkpoint.card.fingerprint != fingerprint:
                raise CheckpointError(f"{self.path(fingerprint)} is the model {checkpoint.card.fingerprint:.12}")
        except CheckpointError as error:
            _LOG.error("the model that embedded the gallery is not to be had any more: %s", error)
            return None
        return checkpoint

    def remove_all_but(self, fingerprints: Collection[str]) -> None:
        """Removes the copies of other models, and what an interruption left; logs what refuses. Other files stay."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            name = _COPY.fullmatch(path.name)
            if name is None or (name[1] in fingerprints and name[2] == ".safetensors"):
                continue
            try:
                path.unlink()
            except OSError as error:
                _LOG.warning("%s is not needed any more and cannot be removed: %s", path, error)

    def path(self, fingerprint: str) -> Path:
        """Where a model's copy lies, if there is one."""
        return self._folder / f"{fingerprint}.safetensors"


def _is_copy(target: Path, source: Path) -> bool:
    try:
        return target.samefile(source) or (
            target.stat().st_size == source.stat().st_size and read_card(target) == read_card(source)
        )
    except (OSError, CheckpointError):
        return False


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
