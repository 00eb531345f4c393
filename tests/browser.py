"""Headless Chromium on pages of this machine: Debian's, driven by Playwright, cut off from any network."""

import contextlib
import shutil

import pytest
from playwright.sync_api import sync_playwright

WIDE, PHONE = (1440, 900), (390, 844)


@contextlib.contextmanager
def page_at(address, size=WIDE, scheme="light"):
    """A loaded page; its attribute `complaints` holds console errors and requests that failed or left the machine."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("Chromium is not here: it is Debian's package `chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        width, height = size
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.complaints = []
        page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))

        def local_only(route):
            if route.request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1")):
                route.continue_()
            else:
                page.complaints.append(f"left the machine: {route.request.url}")
                route.abort()

        page.route("**/*", local_only)
        page.goto(address, wait_until="load")
        yield page
        browser.close()
