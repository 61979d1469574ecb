"""A real browser for tests: Chromium or Chrome of this machine, headless. Without one the test is skipped, by name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Browser:
    """One call each; nothing is kept between them."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def _run(self, address: str, *arguments: str) -> str:
        done = subprocess.run(
            [
                self._program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={self._folder / 'profile'}", "--virtual-time-budget=8000", *arguments, address,
            ],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )  # fmt: skip
        return done.stdout

    def page(self, address: str) -> str:
        """The document after its scripts have run, as HTML."""
        return self._run(address, "--dump-dom", "--window-size=1280,900")

    def picture(self, address: str, *, dark: bool = False) -> bytes:
        """A PNG of the page."""
        path = self._folder / "picture.png"
        # 0 is dark, 1 is light for this switch.
        colours = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        self._run(address, colours, "--window-size=1280,900", f"--screenshot={path}")
        return path.read_bytes()

    def paper(self, address: str) -> bytes:
        """A PDF of the page as it is printed."""
        path = self._folder / "paper.pdf"
        self._run(address, "--no-pdf-header-footer", f"--print-to-pdf={path}")
        return path.read_bytes()


def find_browser(folder: Path) -> Browser:
    """The browser, or a skip that says what nobody has looked at."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(
            f"NO BROWSER ({', '.join(NAMES)}): dashboard and report were seen by nobody; apt-get install chromium"
        )
    return Browser(program, folder)
