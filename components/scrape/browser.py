"""A headless Chromium that reads pages for Selenium and never outlives this process."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.scrape.config import ScrapeConfig
from components.shared.errors import SourceError, ToolError

if TYPE_CHECKING:
    from selenium.webdriver import Chrome, ChromeOptions

# Ends the browser's process group and removes its folder as soon as the pipe to this process closes, be it by
# SIGKILL: without it ten processes and a profile stay behind. The first line of the pipe names the group. It
# ignores what may be sent to all our descendants, else it would end before its work.
CARETAKER = """
trap '' TERM INT HUP
read -r group
read -r _
[ -z "$group" ] || kill -s KILL -- "-$group"
for _ in 1 2 3 4 5; do sleep 0.1; rm -rf -- "$1" && break; done
"""
ARGUMENTS = (
    "--headless=new",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-crash-reporter",
    "--disable-breakpad",
    "--no-first-run",
)
# Only the document is asked for: no style, script, font or picture of the site. JavaScript is off because
# MathJax rewrites titles and abstracts; execute_script works all the same.
BLOCKED = ("*.css*", "*.js*", "*.woff*", "*.ico*", "*.png*", "*.svg*", "*.jpg*", "*.gif*")
PREFERENCES = {
    "profile.managed_default_content_settings.javascript": 2,
    "profile.managed_default_content_settings.images": 2,
}
SLACK_S = 15  # that chromedriver has beyond the page's own timeout


@contextmanager
def open_browser(config: ScrapeConfig) -> Iterator["Chrome"]:
    """Yield a browser; on the way out, whichever it is, no process and no file of it stays."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.remote.remote_connection import RemoteConnection

    chromium, chromedriver = find_tools()
    with _caretaker() as (folder, adopt):
        service = Service(chromedriver, popen_kw={"preexec_fn": adopt}, env={**os.environ, "TMPDIR": str(folder)})
        try:
            browser = Chrome(options=_options(config, chromium, folder), service=service)
        except WebDriverException as error:
            reason = (error.msg or type(error).__name__).splitlines()[0]
            raise ToolError(f"Chromium does not start: {reason}", "try: chromium --headless=new --dump-dom") from None
        browser.set_page_load_timeout(config.timeout_s)
        if isinstance(browser.command_executor, RemoteConnection):
            browser.command_executor.client_config.timeout = config.timeout_s + SLACK_S
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(BLOCKED)})
        yield browser  # never asked to quit: chromedriver hears that only after the page it waits for


def find_tools() -> tuple[str, str]:
    """Return the paths of Chromium and its driver."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        lacking = "Chromium" if not chromium else "chromedriver"
        raise ToolError(f"{lacking} is not installed", "sudo apt-get install chromium chromium-driver")
    return chromium, chromedriver


def _options(config: ScrapeConfig, chromium: str, folder: Path) -> "ChromeOptions":
    from selenium.webdriver import ChromeOptions

    options = ChromeOptions()
    options.binary_location = chromium
    options.ignore_local_proxy_environment_variables()  # on the way to chromedriver
    options.page_load_strategy = "eager"  # the document is all we read
    options.add_experimental_option("prefs", PREFERENCES)
    for argument in (*ARGUMENTS, f"--user-data-dir={folder / 'profile'}", f"--user-agent={config.user_agent}"):
        options.add_argument(argument)
    if os.geteuid() == 0 or in_container():
        options.add_argument("--no-sandbox")  # Chromium's sandbox cannot start there
    return options


def in_container() -> bool:
    """Tell whether this is a container, where user namespaces are usually out of reach."""
    return (
        "KUBERNETES_SERVICE_HOST" in os.environ or Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
    )


@contextmanager
def _caretaker() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield a folder for the browser, and what its driver calls before it starts: it names itself to the caretaker."""
    folder = Path(tempfile.mkdtemp(prefix="arxtune-browser-"))
    with subprocess.Popen(
        ["/bin/sh", "-c", CARETAKER, "caretaker", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to our own group must not end it first
    ) as caretaker:
        assert caretaker.stdin
        pipe = caretaker.stdin.fileno()

        def adopt() -> None:
            os.setsid()
            os.write(pipe, b"%d\n" % os.getpid())

        yield folder, adopt  # leaving the block closes the pipe and waits


def navigate(browser: "Chrome", url: str) -> None:
    """Load a page; raise SourceError unless it came with status 200."""
    from selenium.common.exceptions import TimeoutException, WebDriverException
    from urllib3.exceptions import HTTPError

    try:
        browser.get(url)
        href, status = browser.execute_script(
            "return [location.href, (performance.getEntriesByType('navigation')[0] || {}).responseStatus || 0]"
        )
    except TimeoutException:
        raise SourceError(f"{url}: no page in time", "raise scrape.timeout_s, or try again later") from None
    except WebDriverException as error:
        reason = (error.msg or type(error).__name__).splitlines()[0]
        raise SourceError(f"{url}: {reason}", "check the network and scrape.site") from None
    except HTTPError:  # of the line to chromedriver
        raise ToolError("Chromium ended while it read a page", "is there memory enough? it needs 500 MB") from None
    if href.startswith("chrome-error://"):  # refused connections and endless redirects raise nothing
        raise SourceError(f"{url}: the connection failed", "check the network and scrape.site")
    if status != 200:
        raise SourceError(f"{url}: HTTP {status}", "wait some time and run again")
