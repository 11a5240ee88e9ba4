"""The page that says what the campaign has come to so far."""

from pathlib import Path
from typing import Any, Final

from benchmarks.campaign.arms import ARMS

SPEED: Final = "speed"
"""Beside the arms in the state: training steps beside their floors."""


def write_page(page: Path, state: dict[str, Any]) -> None:
    """Writes the tables of a state below what the page says already."""
    head = page.read_text("utf-8").partition("\n## Arms\n")[0] if page.exists() else "# The GPU campaign\n"
    text = f"{head.rstrip()}\n\n## Arms\n\n{_arms(state)}\n## Training steps\n\n{_steps(state)}"
    page.write_text(text, "utf-8")


def _arms(state: dict[str, Any]) -> str:
    lines = [
        "| arm | asks | steps | seconds | UAV-Synth test, CMC-1 | real, development half, CMC-1 / 5 at the end | best "
        "on the way |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in ARMS:
        found = state.get(arm.name)
        if found is None:
            lines.append(f"| {arm.name} | {arm.question} | not run yet | | | | |")
        elif "failed" in found:
            lines.append(f"| {arm.name} | {arm.question} | failed | {found['seconds']} | | | |")
        else:
            curve = found["real_development"]
            best = max(curve, key=lambda point: point[1])
            lines.append(
                f"| {arm.name} | {arm.question} | {found['num_steps']} | {found['seconds']} | "
                f"{100 * found['test']['cmc']['1']:.1f} | {100 * curve[-1][1]:.1f} / {100 * curve[-1][2]:.1f} | "
                f"{100 * best[1]:.1f} at step {best[0]} |"
            )
    return "\n".join(lines) + "\n"


def _steps(state: dict[str, Any]) -> str:
    lines = [
        "| network | side | batch | images/s | share of the matrix product's rate | share of both floors |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in state.get(SPEED, ()):
        if "failed" in row:
            lines.append(f"| {row['failed'][:100]} | | | | | |")
        else:
            lines.append(
                f"| {row['network']}, {row['backbone']} | {row['size_px']} | {row['batch']} | "
                f"{row['images_per_s']:,.0f} | {row['peak_share']:.0%} | {row['floor_share']:.0%} |"
            )
    return "\n".join(lines) + "\n"
