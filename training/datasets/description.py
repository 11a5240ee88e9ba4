"""What ``describe`` says of a data set: how much there is, who cannot be matched, and what a training makes of it."""

from collections import Counter
from typing import Any, Final

from index.datasets.first_names import first_names
from index.datasets.manifest import Manifest, ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import left_out
from training.data import training_data
from training.datasets.dataset import Published

_NO_ROLE: Final = "none"
"""What a line without a role is counted as."""


def count(manifest: Manifest, published: dict[tuple[str, str], Published]) -> list[dict[str, Any]]:
    """A row per split and role: what is there, and what its authors say.

    The role ``none`` is of the lines that have none, and ``""`` is all of a split, where that was published.
    """
    there = {entry.split for entry in manifest.entries}
    # A layout may lack a split that was published, such as UAV-VeID's val.
    said_of = [key for key in published if there & set(key[0].split("+"))]
    found_roles = dict.fromkeys((entry.split, entry.role or _NO_ROLE) for entry in manifest.entries)
    # Where no line of a split has a role, the row of all of it says the same.
    doubled = {
        (split, _NO_ROLE)
        for split, _ in found_roles
        if (split, "") in published and all(role == _NO_ROLE for other, role in found_roles if other == split)
    }
    rows = []
    for split, role in dict.fromkeys([*said_of, *(key for key in found_roles if key not in doubled)]):
        of_split = [entry for entry in manifest.entries if entry.split in split.split("+")]
        found = [entry for entry in of_split if role in ("", entry.role or _NO_ROLE)]
        said = published.get((split, role), Published(None, None))
        rows.append(
            {
                "split": split,
                "role": role,
                "num_images": len(found),
                "num_identities": len({entry.identity for entry in found} - {""}),
                "num_cameras": len({entry.camera for entry in found} - {""}),
                "published_images": said.num_images,
                "published_identities": said.num_identities,
            }
        )
    return rows


def unmatchable(manifest: Manifest) -> list[str]:
    """Warnings, by name, of queries and vehicles that nothing in their split can be matched with."""
    warnings = []
    for split in sorted({entry.split for entry in manifest.entries}):
        of_split = [entry for entry in manifest.entries if entry.split == split and entry.identity]
        queries = [entry for entry in of_split if entry.role == "query"]
        gallery = [entry for entry in of_split if entry.role == "gallery"]
        found = left_out(queries, gallery, manifest.protocol.camera_rule)
        for role, kind in (("train", "for training"), (None, "without a role")):
            num_images = Counter(entry.identity for entry in of_split if entry.role == role)
            if single := sorted(name for name, number in num_images.items() if number == 1):
                found.append(f"identities with a single image {kind}: {len(single)} ({first_names(single)})")
        warnings += [f"split {split}: {warning}" if split else warning for warning in found]
    return warnings


def trained_on(manifest: Manifest) -> str:
    """What a training would learn from and validate on, and which lines it has no use for."""
    try:
        data = training_data(manifest, "auto")
    except (ManifestError, ProtocolError) as error:
        return f"none, {error}"
    task = data.validation
    if task is None:
        validation = "no validation"
    else:
        held_out = f"the split {task.split}" if task.split else "identities held out of it"
        validation = f"validation on {held_out}, {len(task.queries)} queries in {len(task.gallery)} gallery images"
    learned = f"{len(data.entries)} images of {len(set(data.labels))} identities; {validation}"
    unused = sum(entry.role is None for entry in manifest.entries)
    has_roles = any(entry.role is not None for entry in manifest.entries)
    if not has_roles or not unused or manifest.protocol.num_draws:
        return learned
    return f"{learned}; {unused} lines without a role are for nothing, because others have one"
