"""A seat before a real Chromium: it opens pages, and remembers whatever the browser complains of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers.process import NoServer

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"

DESK, PHONE, SMALL_PHONE = 1280, 390, 320
"""Widths of windows."""

WATCH = """
window.complaints = [];
document.addEventListener("securitypolicyviolation", (e) => window.complaints.push(`${e.violatedDirective} ${e.blockedURI}`));
"""

EXPECTED = ("Failed to load resource: the server responded with a status of",)
"""What the browser says of every answer that is an error; the test looks at the answer."""


def chromium() -> str:
    """Return the path of the browser.

    Raises:
        NoServer: there is none.
    """
    found = shutil.which("chromium")
    if found is None:
        raise NoServer("there is no chromium on the path; Debian has it as `apt-get install chromium`")
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """Give a browser while the block runs. There must be no event loop in this thread, and there is one inside."""
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seat:
    """One window at the server *url*. complaints are what the browser said: errors, dialogs, requests to elsewhere."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)
        self._gather()

    def sign_in(self, secret: str) -> None:
        self.go("/sign-in")
        self.page.get_by_role("textbox", name="Token").fill(secret)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def names(self) -> list[str]:
        """Return the names of the models that are listed."""
        return self.texts("#models tbody .name")

    def texts(self, selector: str) -> list[str]:
        """Return the text of all elements, as a script reads it."""
        found: list[str] = self.page.evaluate(
            "(selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent)", selector
        )
        return found

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page, for people."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self.page.viewport_size['width']}.png", full_page=True)  # type: ignore[index]

    def is_wider_than_window(self) -> bool:
        return bool(self.run("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def close(self) -> list[str]:
        """Close the window and return all that the browser complained of."""
        self._gather()
        self.page.context.close()
        return self.complaints

    def _gather(self) -> None:
        self.complaints += self.run("(window.complaints || []).splice(0)")


@contextmanager
def seat(browser: Browser, url: str, **how: Any) -> Iterator[Seat]:
    """Give a seat whose browser has nothing to complain of while the block runs; *how* is the window (`new_context`)."""
    context = browser.new_context(**({"viewport": {"width": DESK, "height": 900}} | how))
    context.set_default_timeout(10_000)
    page = context.new_page()
    here = Seat(page, url)
    context.add_init_script(WATCH)
    page.on("console", lambda said: here.complaints.append(said.text) if _is_complaint(said.type, said.text) else None)
    page.on("pageerror", lambda error: here.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (here.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith(url) else here.complaints.append(f"asks {request.url}"))
    try:
        yield here
    finally:
        complaints = here.close()
    assert not complaints, complaints


def _is_complaint(kind: str, text: str) -> bool:
    return kind in ("error", "warning") and not text.startswith(EXPECTED)


def hostile_folder() -> Path | None:
    """Return where the list of naughty strings lies, None where there is none."""
    folder = os.environ.get("MODELPORT_HOSTILE")
    return None if folder is None else Path(folder)
