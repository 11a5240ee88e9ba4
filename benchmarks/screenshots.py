"""Takes the pictures of the page for the README, with the drawn vehicles that ship.

    python -m benchmarks.screenshots [--out docs/pictures] [--view NAME ..] [--chromium FILE]

A real service with the shipped checkpoint answers; its gallery lies in a folder that is removed afterwards.
Of each view there is one picture on light ground and one on dark: NAME-light.webp, NAME-dark.webp, each at most 200 kB.
It needs Playwright (installed for development) and Chromium.
"""

import argparse
import csv
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import httpx2
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.live_service import LiveService
from index.command_parser import CommandParser
from service.settings import shipped_checkpoint

Scheme = Literal["light", "dark"]

WIDTH_PX: Final = 1280
HEIGHT_PX: Final = 800
SCALE: Final = 2
MOST_BYTES: Final = 200_000

_QUALITIES: Final = (82, 76, 70, 62, 54)
_WAIT_MS: Final = 120_000
_CAMERAS: Final = ("north gate", "bridge", "market")
# Vehicles in a gallery that looks like one, and how many of them have no name yet, so that groups are proposed.
_NUM_VEHICLES: Final = 90
_NUM_UNNAMED: Final = 24


class Gallery(NamedTuple):
    """What the pictures show.

    Attributes:
        asked: id of the record that is searched for.
        group_job: id of the finished job that proposes groups.
    """

    asked: str
    group_job: str


class View(NamedTuple):
    """A picture: where it is taken, and what is done there first."""

    address: Callable[[Gallery], str]
    prepare: Callable[[Page], None]


def main() -> int:
    """The command."""
    args = _parser().parse_args()
    chromium = args.chromium or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.stderr.write("benchmarks.screenshots: there is no Chromium: install it, or name it with --chromium\n")
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        manifest = shipped_checkpoint().with_name("manifest.csv")
        settings = {"heldout": str(manifest), "export_root": folder, "device": "cpu"}
        with (
            LiveService(shipped_checkpoint(), Path(folder) / "data", **settings) as service,
            sync_playwright() as driver,
        ):
            gallery = fill(service.client, manifest)
            browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
            for path, size in take(browser, str(service.client.base_url), gallery, args.view or list(VIEWS), args.out):
                sys.stdout.write(f"{path}: {size:,} bytes\n")
            browser.close()
    return 0


def fill(client: httpx2.Client, manifest: Path) -> Gallery:
    """Enrols drawn vehicles with places and times, groups those without a name, and waits for the evaluation."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    identities = list(dict.fromkeys(row["identity"] for row in rows))[:_NUM_VEHICLES]
    chosen = [row for row in rows if row["identity"] in identities]
    metadata = [_fields(row, number, identities.index(row["identity"])) for number, row in enumerate(chosen)]
    ids = list[str]()
    for start in range(0, len(chosen), 64):
        part = slice(start, start + 64)
        files = [
            ("images", (Path(row["path"]).name, (manifest.parent / row["path"]).read_bytes())) for row in chosen[part]
        ]
        answer = client.post("/gallery", files=files, data={"metadata": json.dumps(metadata[part])})
        answer.raise_for_status()
        ids += [result["id"] for result in answer.json()["results"]]
    group = {"kind": "group", "records": {"tag": ["unnamed"]}, "max_distance": 1.55}
    job = client.post("/jobs", json=group).raise_for_status().json()
    _wait(lambda: client.get(job["url"]).json()["state"] == "done", "the groups")
    headers = {"Accept": "application/json"}
    _wait(lambda: client.get("/metrics", headers=headers).json()["heldout"]["state"] == "done", "the evaluation")
    return Gallery(_most_telling(client, ids), job["id"])


def _most_telling(client: httpx2.Client, ids: list[str]) -> str:
    """The record that is found again most surely, and turned the most."""

    def worth(id_: str) -> tuple[bool, int, float]:
        answer = client.post("/query", files={"record": (None, id_), "top_k": (None, "2")}).raise_for_status().json()
        identity = client.get(f"/gallery/{id_}").json()["identity"]
        num_right = sum(match["identity"] == identity is not None for match in answer["matches"])
        return answer["decision"] == "match", num_right, abs(answer["query"]["rotation_deg"])

    return max(ids, key=worth)


def _fields(row: dict[str, str], number: int, vehicle: int) -> dict[str, Any]:
    is_named = vehicle < _NUM_VEHICLES - _NUM_UNNAMED
    return {
        "identity": f"{row['colour']} {row['type']} {vehicle}" if is_named else None,
        "camera": _CAMERAS[number % len(_CAMERAS)],
        "captured_at": f"2026-05-{1 + vehicle % 28:02}T{8 + number % 12:02}:{7 * number % 60:02}:00Z",
        "latitude": 48.137 + 0.004 * (vehicle % 11) + 0.0005 * (number % 20),
        "longitude": 11.575 + 0.005 * (vehicle % 7),
        "tags": [] if is_named else ["unnamed"],
        "attributes": {"colour": row["colour"], "type": row["type"]},
    }


def take(browser: Browser, base_url: str, gallery: Gallery, names: list[str], out: Path) -> Iterator[tuple[Path, int]]:
    """Writes the pictures of these views; the file and the size of each."""
    for scheme in get_args(Scheme):
        context = browser.new_context(
            base_url=base_url,
            viewport={"width": WIDTH_PX, "height": HEIGHT_PX},
            device_scale_factor=SCALE,
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
        )
        context.set_default_timeout(_WAIT_MS)
        for name in names:
            page = context.new_page()
            page.goto(f"/{VIEWS[name].address(gallery)}")
            VIEWS[name].prepare(page)
            page.wait_for_function(_IS_DRAWN)
            path = out / f"{name}-{scheme}.webp"
            path.write_bytes(compressed(page.screenshot()))
            page.close()
            yield path, path.stat().st_size
        context.close()


def compressed(png: bytes) -> bytes:
    """The picture as WebP of at most `MOST_BYTES`, as good as fits.

    Raises:
        ValueError: none of the qualities makes it as small as that.
    """
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= MOST_BYTES:
            return buffer.getvalue()
    raise ValueError(f"the picture has {buffer.tell():,} bytes at quality {_QUALITIES[-1]}, more than {MOST_BYTES:,}")


_IS_DRAWN: Final = """() =>
  !document.querySelector(".spinner")
  && [...document.images].every((image) => image.complete && image.naturalWidth)
  && [...document.querySelectorAll(".picture")].every((picture) => {
    const { top, bottom } = picture.getBoundingClientRect();
    return picture.querySelector("img, [role=img]") || bottom < 0 || top > innerHeight;
  })"""


def _with_answer(page: Page) -> None:
    page.locator(".match").first.wait_for()


def _with_opened_match(page: Page) -> None:
    page.locator(".match-open").first.click()
    page.get_by_role("dialog").wait_for()


def _with_groups(page: Page) -> None:
    page.locator(".picture").first.wait_for()


def _with_curve(page: Page) -> None:
    page.locator(".chart svg").first.wait_for()


VIEWS: Final = {
    "query": View(lambda gallery: f"#/query?record={gallery.asked}", _with_answer),
    "match": View(lambda gallery: f"#/query?record={gallery.asked}", _with_opened_match),
    "gallery": View(lambda _: "#/gallery", _with_groups),
    "groups": View(lambda gallery: f"#/groups/{gallery.group_job}", _with_groups),
    "quality": View(lambda _: "#/quality", _with_curve),
}


def _wait(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _WAIT_MS / 1000
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} took longer than {_WAIT_MS // 1000} s")
        time.sleep(0.5)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m benchmarks.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"), help="the folder; default %(default)s")
    parser.add_argument("--view", action="append", choices=VIEWS, help="repeatable; default: all")
    parser.add_argument("--chromium", type=Path, help="the browser's program; default: the one on the PATH")
    return parser


if __name__ == "__main__":
    sys.exit(main())
