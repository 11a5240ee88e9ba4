"""The table, as a page."""

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.table2.settings import METHODS

_HEAD: Final = (
    "| method | CMC-1 | CMC-5 | CMC-10 | mAP | CMC-1 of single seeds | numbers | parameters | GFLOP an image | "
    "images/s | published on UAV-VeID |"
)


def table(summaries: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of what `summarize` says of each method, in the paper's order."""
    lines = [_HEAD, "| --- |" + " ---: |" * 10]
    lines += [_line(name, summaries[name]) for name in METHODS if name in summaries]
    return "\n".join(lines) + "\n"


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each method's figures, the means of its seeds; who has no run that came to its end is left out.

    The interval is over identities: the mean of the ends of each seed's. Seeds are no part of it: `cmc1_of_seeds` shows
    how far they lie apart.
    """
    summaries = {}
    for name in METHODS:
        found = [row for row in rows if row["method"] == name and "cmc" in row]
        if not found:
            continue
        summaries[name] = {
            "num_seeds": len(found),
            "cmc": {rank: _mean([row["cmc"][rank] for row in found]) for rank in ("1", "5", "10")},
            "map": _mean([row["map"] for row in found]),
            "cmc1_interval": [_mean([row["cmc1_interval"][end] for row in found]) for end in (0, 1)],
            "map_interval": [_mean([row["map_interval"][end] for row in found]) for end in (0, 1)],
            "cmc1_of_seeds": [row["cmc"]["1"] for row in found],
            **found[0]["cost"],
        }
    return summaries


def _line(name: str, summary: dict[str, Any]) -> str:
    method = METHODS[name]
    published = "-" if method.published is None else " / ".join(f"{100 * share:.1f}" for share in method.published)
    cells = [
        f"{method.title} (`{name}`)",
        _with_interval(summary["cmc"]["1"], summary["cmc1_interval"]),
        f"{100 * summary['cmc']['5']:.1f}",
        f"{100 * summary['cmc']['10']:.1f}",
        _with_interval(summary["map"], summary["map_interval"]),
        ", ".join(f"{100 * share:.1f}" for share in summary["cmc1_of_seeds"]),
        f"{summary['embedding_dim']:,}",
        f"{summary['num_parameters'] / 1e6:.1f} M",
        f"{summary['gflop_per_image']:.2f}",
        f"{summary['images_per_s']:,.0f}",
        published,
    ]
    return f"| {' | '.join(cells)} |"


def _with_interval(share: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
