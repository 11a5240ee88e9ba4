"""The whole data set: identities drawn by several processes, then the manifest and its protocol."""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from index.datasets.manifest import Entry, write_manifest
from index.datasets.protocol import Protocol
from index.stop_signal import stop_signal
from model.box import Box
from model.whole_file import whole_file
from training.synthetic.arithmetic import pinned_arithmetic
from training.synthetic.identity import Identity, draw_identity, name_of, role_of, split_of
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import rasterizer_for
from training.synthetic.settings import Settings

_RECORD: Final = "generator.json"


class SyntheticError(ValueError):
    """A data set that cannot be drawn here; the message says what to do."""


class StoppedError(Exception):
    """A signal asked to stop; what is drawn stays, and the same command goes on."""


@dataclass(frozen=True)
class DataSet:
    """Which data set: the same numbers, the same bytes.

    Attributes:
        num_identities: vehicles; the first ones are the same for any number.
        images_per_identity: views of each; the first ones are the same for any number.
        seed: another seed, other vehicles.
    """

    num_identities: int
    images_per_identity: int
    seed: int
    settings: Settings

    @property
    def format(self) -> str:
        """The generator and its edition."""
        return f"uav-synth-{self.settings.edition}"


def generate(
    out: Path, data_set: DataSet, num_workers: int, progress: Callable[[int], object] = lambda _: None
) -> dict[str, Any]:
    """Draws what is missing in the folder, then writes ``manifest.csv`` and ``manifest.json``.

    Args:
        out: a new folder, an empty one, or one where the same data set was begun, perhaps with fewer images.
        data_set: what to draw.
        num_workers: processes; the bytes do not depend on it.
        progress: told the number of images that each finished identity adds.

    Returns:
        The protocol's info: settings, their hash, the hash over all images, and the counts.

    Raises:
        SyntheticError: something else lies in the folder, or a process died.
        StoppedError: stopped by a signal.
    """
    _claim(out, data_set)
    for left in out.glob("manifest.*.tmp"):  # by a process killed while it wrote them
        left.unlink()
    identities = _draw_all(out, data_set, num_workers, progress)
    digest = hashlib.sha256()
    for identity in identities:
        for view in identity.views:
            digest.update(bytes.fromhex(view.sha256))
    info = {
        "generator": data_set.format,
        "seed": data_set.seed,
        "num_identities": data_set.num_identities,
        "images_per_identity": data_set.images_per_identity,
        "settings": data_set.settings.to_dict(),
        "settings_sha256": data_set.settings.sha256,
        "images_sha256": digest.hexdigest(),
    }
    entries = [
        entry for number, identity in enumerate(identities) for entry in _entries(number, identity, data_set.settings)
    ]
    # Who is drawn for training only has no gallery.
    protocol = (
        Protocol(dataset="uav-synth", gallery_per_identity=1, info=info)
        if data_set.settings.edition == 1
        else Protocol(dataset="uav-synth-2", info=info)
    )
    write_manifest(out / "manifest.csv", entries, protocol)
    return info


def _entries(number: int, identity: Identity, settings: Settings) -> list[Entry]:
    split = split_of(number, settings)
    return [
        Entry(
            path=f"images/{identity.identity}/{view.file}",
            identity=identity.identity,
            role=role_of(split, index),
            split=split,
            box=Box.parse(view.box) if view.box else None,
            further=({"mask": view.mask} if view.mask else {})
            | {
                "type": identity.type,
                "colour": identity.colour,
                "heading_deg": str(view.heading_deg),
                "altitude_m": str(view.altitude_m),
                "depression_deg": str(view.depression_deg),
                "px_per_m": str(view.px_per_m),
                "occluded": str(int(view.occluded)),
            },
        )
        for index, view in enumerate(identity.views)
    ]


def _claim(out: Path, data_set: DataSet) -> None:
    """Writes down what is drawn here, or makes sure that it is the same."""
    record = {
        "format": data_set.format,
        "seed": data_set.seed,
        "settings": data_set.settings.to_dict(),
    }
    path = out / _RECORD
    try:
        there = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        left = {*out.glob(f"{_RECORD}*.tmp")} if out.is_dir() else set()  # by a process killed right here
        if out.exists() and (not out.is_dir() or {*out.iterdir()} - left):
            raise SyntheticError(f"{out} is there and holds something else: choose a new folder") from None
        for file in left:
            file.unlink()
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
        return
    except (OSError, ValueError, RecursionError) as error:
        raise SyntheticError(f"{path} cannot be read ({error}): choose a new folder") from None
    if there != record:
        known = there if isinstance(there, dict) else {}
        differing = sorted(
            key for key in record | known if [key in known, known.get(key)] != [True, record.get(key, "")]
        )
        raise SyntheticError(
            f"{out} was begun with another {' and '.join(differing)}: choose a new folder, or the same numbers"
        )


def _draw_all(out: Path, data_set: DataSet, num_workers: int, progress: Callable[[int], object]) -> list[Identity]:
    # Not forked: a process that was forked after OpenGL or torch started is not safe to draw in.
    context = multiprocessing.get_context("spawn")
    drawn: dict[int, Identity] = {}
    with (
        stop_signal() as stop_asked,
        ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_the_parent) as pool,
    ):
        try:
            with _signals_held_back(), pinned_arithmetic():
                numbers: dict[Future[Identity], int] = {
                    pool.submit(_draw, out, data_set, number): number for number in range(data_set.num_identities)
                }
            for future in as_completed(numbers):
                drawn[numbers[future]] = future.result()
                progress(data_set.images_per_identity)
                if stop_asked():
                    raise StoppedError
        except BrokenProcessPool:
            raise SyntheticError(
                "a process that drew died: it lacked memory (try fewer workers) or OpenGL, of which VTK says so above "
                "(on Debian: apt-get install libegl1 libgl1-mesa-dri)"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [drawn[number] for number in range(data_set.num_identities)]


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Processes started meanwhile never see SIGINT and SIGTERM, which a terminal sends to all: the parent decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_the_parent() -> None:
    """A worker waits for work for ever; should its parent be killed, nobody would send any."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@cache
def _rasterizer(settings: Settings) -> Rasterizer:
    return rasterizer_for(settings)


def _draw(out: Path, data_set: DataSet, number: int) -> Identity:
    seed, settings = data_set.seed, data_set.settings
    folder = out / "images" / name_of(seed, number, settings.edition)
    return draw_identity(folder, seed, number, data_set.images_per_identity, settings, _rasterizer(settings))
