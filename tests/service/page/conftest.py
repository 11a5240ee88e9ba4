"""The page in a real browser, through a real service with the checkpoint that ships."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from benchmarks.live_service import LiveService
from service.settings import shipped_checkpoint

BROWSER_ARGUMENTS: Final = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
WAIT_MS: Final = 60_000
"""For whatever is expected to appear: two cores embed, search and draw at once."""
HELDOUT_IMAGES: Final = 36
"""Of twelve vehicles."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a screen; closed before other tests, which need event loops of their own."""
    chromium = shutil.which("chromium")
    assert chromium, "the page is tested in Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the gallery in `data`; what jobs read lies in `import`, what they write in `export`."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "import").mkdir()
    (folder / "export").mkdir()
    return folder


@pytest.fixture(scope="module")
def heldout(folder: Path, demo: Path) -> Path:
    """A held-out set of few of the vehicles that ship: each service evaluates it when it starts."""
    header, *rows = (demo / "manifest.csv").read_text().splitlines()
    manifest = folder / "heldout" / "manifest.csv"
    for row in rows[:HELDOUT_IMAGES]:
        path = row.split(",")[0]
        (manifest.parent / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(demo / path, manifest.parent / path)
    manifest.write_text("\n".join([header, *rows[:HELDOUT_IMAGES]]) + "\n")
    return manifest


@pytest.fixture(scope="module")
def service(folder: Path, heldout: Path) -> Iterator[LiveService]:
    """Serves the shipped checkpoint with an empty gallery; what jobs read and write lies beside it."""
    with LiveService(
        shipped_checkpoint(),
        folder / "data",
        import_root=str(folder / "import"),
        export_root=str(folder / "export"),
        heldout=str(heldout),
        device="cpu",
    ) as service:
        yield service


@pytest.fixture
def page(browser: Browser, service: LiveService) -> Iterator[Page]:
    """A page of its own, not yet at any address.

    The test fails if the page wrote an error to the console, or asked another origin for anything.
    """
    context = browser.new_context(
        base_url=str(service.client.base_url), viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    trouble = list[str]()
    origin = str(service.client.base_url).rstrip("/")

    def on_console(message: ConsoleMessage) -> None:
        # The browser itself notes every answer of 400 and above; whether the page takes it well is seen on the page.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            trouble.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((origin + "/", "data:", "blob:")):
            trouble.append(f"asked elsewhere: {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    page.on("request", on_request)
    yield page
    context.close()
    assert trouble == []


@pytest.fixture(scope="session")
def demo() -> Path:
    """The folder of drawn vehicles that ships: `manifest.csv` and crops."""
    return shipped_checkpoint().parent
