"""What axe-core, the usual accessibility checker, finds on a page in headless Chromium."""

import json
import tempfile
from importlib.resources import files
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from components.scrape.browser import ARGUMENTS, find_tools

AXE = files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
RUN = "const done = arguments[0]; axe.run().then(found => done(found), error => done({error: String(error)}))"
WIDTHS = (360, 768, 1440)  # a phone, a tablet, a screen


def look_at(page: Path) -> tuple[list[str], list[str]]:
    """Return a page's serious and critical findings at three widths, and the addresses that it
    asked for."""
    chromium, chromedriver = find_tools()
    findings: list[str] = []
    with tempfile.TemporaryDirectory(prefix="axe-") as profile:
        options = ChromeOptions()
        options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        for argument in (*ARGUMENTS, "--no-sandbox", f"--user-data-dir={profile}"):
            options.add_argument(argument)
        browser = Chrome(options=options, service=Service(chromedriver))
        try:
            browser.set_script_timeout(300)
            browser.set_page_load_timeout(300)
            browser.get(page.as_uri())
            asked = [entry["message"] for entry in browser.get_log("performance")]
            browser.execute_script(AXE)
            for width in WIDTHS:
                screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
                findings += [f"{width}: wider than the screen"] if _overflows(browser) else []
                found = browser.execute_async_script(RUN)
                assert "error" not in found, found["error"]
                assert found["passes"], "axe looked at nothing"
                findings += [
                    f"{width}: {violation['impact']}: {violation['help']}: {node['html'][:200]}"
                    for violation in found["violations"]
                    if violation["impact"] in ("serious", "critical")
                    for node in violation["nodes"]
                ]
        finally:
            browser.quit()
    messages = [json.loads(message)["message"] for message in asked]
    requests = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    return findings, [
        url for url in requests if not url.startswith(("chrome:", "data:"))
    ]  # its own first page


def _overflows(browser: Chrome) -> bool:
    script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(browser.execute_script(script))
