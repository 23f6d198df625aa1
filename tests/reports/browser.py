"""Chromium without a window: opens a page by its file address, and remembers its complaints and requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")

needs_browser = pytest.mark.skipif(
    not (CHROMIUM.is_file() and DRIVER.is_file()),
    reason="needs /usr/bin/chromium and /usr/bin/chromedriver: apt-get install chromium chromium-driver",
)

OVERLAPS = """
// Pairs of texts that cover each other by more than the space between lines.
const clipped = (rect, place) => {
  let { left, top, right, bottom } = rect;
  for (let at = place; at && at !== document.body; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.visibility === "hidden" || style.opacity === "0") return null;
    if (style.overflowX === "visible" && style.overflowY === "visible") continue;
    const own = at.getBoundingClientRect();
    left = Math.max(left, own.left); right = Math.min(right, own.right);
    top = Math.max(top, own.top); bottom = Math.min(bottom, own.bottom);
  }
  return right - left > 2 && bottom - top > 4 ? { left, top, right, bottom } : null;
};
for (const one of document.querySelectorAll("nav, thead th, .scroll tr > :first-child")) one.style.position = "static";
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
while (walker.nextNode()) {
  const node = walker.currentNode, place = node.parentElement;
  // The atoms of a drawing may touch; what stands in a control is part of it.
  if (!node.data.trim() || place.closest("script, style, datalist, option, .molecule")) continue;
  if (place.closest("details:not([open])") && !place.closest("summary")) continue;
  const drawn = place.closest("svg text"), range = document.createRange();
  range.selectNodeContents(node);
  for (const rect of drawn ? [drawn.getBoundingClientRect()] : range.getClientRects()) {
    const box = clipped(rect, place);
    if (box) texts.push({ ...box, owner: drawn || place, text: node.data.trim() });
  }
}
texts.sort((one, other) => one.top - other.top);
const found = [];
for (let first = 0; first < texts.length; first++) {
  const one = texts[first];
  for (let second = first + 1; second < texts.length && texts[second].top < one.bottom; second++) {
    const other = texts[second];
    if (one.owner === other.owner) continue;
    const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    if (width > 2 && height > 4) found.push(`${one.text.slice(0, 60)} | ${other.text.slice(0, 60)}`);
  }
}
return [texts.length, found];
"""

# A page without scripts is drawn as soon as it is loaded.
READY = "return !document.scripts.length || document.documentElement.dataset.ready === 'yes'"


class Page:
    """A page that is open."""

    def __init__(self, driver: Any, path: Path) -> None:
        """Keep the driver; nothing is opened before `open`."""
        self.driver, self.path = driver, path

    def open(self, width: int, height: int = 900) -> None:
        """Open the page at a width and wait until it is drawn."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(self.path.resolve().as_uri())
        self.wait(READY)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, most: float = 90) -> None:
        """Wait until JavaScript returns something true."""
        end = time.monotonic() + most
        while not self.run(script):
            assert time.monotonic() < end, f"{script} was not true within {most} s."
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """Messages of the console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for, beside the page itself and what is within it."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        own = self.path.resolve().as_uri()
        return [url for url in found if not url.startswith((own, "data:", "blob:"))]


@contextmanager
def browse(path: Path) -> Iterator[Page]:
    """A browser for one page."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Downloads go to the folder of the page.
    options.add_experimental_option("prefs", {"download.default_directory": str(path.resolve().parent)})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Page(driver, path)
    finally:
        driver.quit()
