"""From the answer of a query to the drawn grid of its 200 matches, in the page, in Chromium.

    python -m benchmarks.match_grid [--rounds 12] [--chromium FILE] [--json]

A real service with the shipped checkpoint answers; its gallery of the 450 drawn images that ship is removed at the end.
Measured in the page: from the moment when all of the answer is there to the end of the frame that shows 200 cards. The
pictures in the cards come later, as they are looked at.
"""

import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

from benchmarks.live_service import LiveService
from index.command_parser import CommandParser
from model.given_path import given_path
from service.settings import shipped_checkpoint
from training.arguments import at_least_one

NUM_MATCHES: Final = 200
_WAIT_MS: Final = 120_000

_MEASURE: Final = """
const send = window.fetch;
window.times = [];
window.fetch = async (url, options) => {
  const response = await send(url, options);
  if (!url.startsWith("query")) return response;
  const text = await response.text();
  const start = performance.now();
  const look = () => {
    if (document.querySelectorAll(".match").length !== NUM_MATCHES) return requestAnimationFrame(look);
    // A task that was posted in a frame runs once that frame is drawn.
    const drawn = new MessageChannel();
    drawn.port1.onmessage = () => window.times.push(performance.now() - start);
    requestAnimationFrame(() => drawn.port2.postMessage(0));
  };
  requestAnimationFrame(look);
  return new Response(text, {status: response.status, headers: response.headers});
};
""".replace("NUM_MATCHES", str(NUM_MATCHES))


def main() -> int:
    """The command: 0, or 1 where there is no Chromium."""
    parser = CommandParser(prog="python -m benchmarks.match_grid", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=12, metavar="N")
    parser.add_argument("--chromium", type=given_path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    chromium = args.chromium or shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("benchmarks.match_grid: there is no Chromium: install it, or name it with --chromium\n")
        return 1
    times = measure(str(chromium), args.rounds)
    result = {
        "median_ms": statistics.median(times),
        "least_ms": min(times),
        "most_ms": max(times),
        "rounds": len(times),
    }
    print(json.dumps(result) if args.json else f"{NUM_MATCHES} matches: {result}")
    return 0


def measure(chromium: str, rounds: int) -> list[float]:
    """Milliseconds of each round, each with another record's query."""
    manifest = shipped_checkpoint().with_name("manifest.csv")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        settings = {"import_root": str(manifest.parent), "heldout": "", "device": "cpu"}
        with LiveService(shipped_checkpoint(), Path(folder) / "data", **settings) as service:
            images = sorted((manifest.parent / "images").rglob("*.jpg"))
            for start in range(0, len(images), 64):
                files = [("images", (path.name, path.read_bytes())) for path in images[start : start + 64]]
                service.client.post("/gallery", files=files).raise_for_status()
            records = service.client.get("/gallery", params={"limit": rounds}).json()["records"]
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(base_url=str(service.client.base_url), viewport={"width": 1280, "height": 900})
            page.set_default_timeout(_WAIT_MS)
            page.add_init_script(_MEASURE)
            page.goto("/#/query")
            for number, record in enumerate(records, start=1):
                page.evaluate("location.hash = '#/query'")
                page.wait_for_selector(".match", state="detached")
                page.evaluate(f"location.hash = '#/query?record={record['id']}&top_k={NUM_MATCHES}'")
                while page.evaluate("window.times.length") < number:  # the policy forbids `wait_for_function`
                    page.wait_for_timeout(50)
            times: list[float] = page.evaluate("window.times")
            browser.close()
    return times


if __name__ == "__main__":
    sys.exit(main())
