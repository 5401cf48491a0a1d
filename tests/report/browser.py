"""A real Chromium without a window, for the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing() -> str | None:
    """Why there is no browser to test with; None where there is one."""
    if find_spec("playwright") is None:
        return "the playwright package is not installed (pip install playwright)"
    if shutil.which("chromium") is None:
        return "there is no chromium on the path (apt-get install chromium)"
    return None


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's own Chromium; playwright downloads nothing."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page and what it said and asked for since it was opened."""

    page: Page
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def quiet(self, path: Path) -> bool:
        """Whether it asked for nothing but its own file, and neither warned nor failed."""
        return not self.console and not self.errors and self.requests == [path.resolve().as_uri()]

    def text(self, selector: str) -> str:
        """The text of the first element that fits."""
        return self.page.locator(selector).first.inner_text()

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that fit, in the order of the page."""
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1280, height: int = 900, **context: Any) -> Iterator[Opened]:
    """``path`` in a fresh window of that size; it has finished its script when this begins."""
    size = {"width": width, "height": height}
    window = browser.new_context(viewport=size, reduced_motion="reduce", **context)
    page = window.new_page()
    page.set_default_timeout(20_000)
    seen = Opened(page)
    page.on("console", lambda message: seen.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.resolve().as_uri())
    yield seen
    window.close()
