"""What axe-core finds wrong with a page, and whether it has to be scrolled sideways."""

from typing import Final, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize

PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
LARGE: Final[ViewportSize] = {"width": 3840, "height": 2160}

_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def violations(page: Page) -> list[str]:
    """Each rule that is broken, with where: in both colour schemes."""
    found = []
    for scheme in _SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for violation in Axe().run(page).response["violations"]:
            where = [node["target"] for node in violation["nodes"]]
            found.append(f"{scheme}: {violation['id']}: {violation['help']}: {where}")
    return found


def overhang(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until the element with this name, or value, has the focus."""
    seen = []
    for _ in range(100):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        if name in focused:
            return
        seen.append(focused)
    raise AssertionError(f"{name!r} is not reached by the keyboard, but {seen}")


_FOCUSED: Final = """() => {
  const element = document.activeElement;
  if (element.id === "main") return "";
  const labels = [...(element.labels ?? [])].map((label) => label.textContent);
  return [element.getAttribute("aria-label") ?? "", element.textContent, ...labels].join(" ").trim();
}"""
