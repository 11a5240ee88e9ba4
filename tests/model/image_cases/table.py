"""All cases, and the table of them."""

from tests.model.image_cases.case import Case
from tests.model.image_cases.damage import jpeg_damage, other_damage
from tests.model.image_cases.foreign import other_formats
from tests.model.image_cases.layouts import jpeg_layouts, other_layouts
from tests.model.image_cases.odd_metadata import metadata
from tests.model.image_cases.profiles import profiles
from tests.model.image_cases.tiff_layouts import tiff_layouts
from tests.model.image_cases.turning import turned

CASES: list[Case] = [
    *jpeg_layouts(),
    *other_layouts(),
    *tiff_layouts(),
    *profiles(),
    *turned(),
    *jpeg_damage(),
    *other_damage(),
    *metadata(),
    *other_formats(),
]


def table() -> str:
    """The cases as Markdown."""
    lines = ["| | file | what happens |", "| --- | --- | --- |"]
    group = ""
    for case in CASES:
        lines.append(f"| {case.group if case.group != group else ''} | {case.name} | {case.how} |")
        group = case.group
    return "\n".join(lines)
