"""Pickles of plain data, without what makes pickles dangerous: nothing that is not listed here is ever called."""

import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from index.datasets.manifest import ManifestError

# Numbers and arrays of NumPy, by their old and new module names. Containers and texts need no entry.
_ALLOWED: Final[dict[tuple[str, str], Any]] = {
    (module, name): value
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name, value in (
        ("_reconstruct", np._core.multiarray._reconstruct),  # type: ignore[attr-defined]
        ("scalar", np._core.multiarray.scalar),  # type: ignore[attr-defined]
    )
} | {
    ("numpy._core.numeric", "_frombuffer"): np._core.numeric._frombuffer,  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1" if encoding == "latin1" else "ascii"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which no list of images needs") from None


def read_plain_pickle(path: Path) -> Any:
    """The lists, dictionaries, texts, numbers and arrays in a pickle; those of Python 2 have latin-1 texts.

    Raises:
        ManifestError: missing, damaged, or it contains anything else. Nothing of it was run then.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise ManifestError(f"expected the file {path}, and it is not there") from None
    except Exception as error:  # whatever a damaged pickle leads to
        raise ManifestError(f"{path} is no pickle of plain data: {error}") from error
