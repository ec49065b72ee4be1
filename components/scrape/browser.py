"""A headless Chromium that reads pages for Selenium and never outlives this process."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from components.scrape.config import ScrapeConfig
from components.scrape.refusal import Refusal, refusal_of
from components.shared.errors import ToolError

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
        service = Service(
            chromedriver, popen_kw={"preexec_fn": adopt}, env={**os.environ, "TMPDIR": str(folder)}
        )
        try:
            browser = Chrome(options=_options(config, chromium, folder), service=service)
        except WebDriverException as error:
            reason = (error.msg or type(error).__name__).splitlines()[0]
            raise ToolError(
                f"Chromium does not start: {reason}", "try: chromium --headless=new --dump-dom"
            ) from None
        browser.set_page_load_timeout(config.timeout_s)
        if isinstance(browser.command_executor, RemoteConnection):
            browser.command_executor.client_config.timeout = config.timeout_s + SLACK_S
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(BLOCKED)})
        yield browser  # never asked to quit: chromedriver hears that only after the page it waits for


def find_tools() -> tuple[str, str]:
    """Return the paths of Chromium and its driver."""
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        lacking = "Chromium" if not chromium else "chromedriver"
        raise ToolError(
            f"{lacking} is not installed", "sudo apt-get install chromium chromium-driver"
        )
    return chromium, chromedriver


def _options(config: ScrapeConfig, chromium: str, folder: Path) -> "ChromeOptions":
    from selenium.webdriver import ChromeOptions

    options = ChromeOptions()
    options.binary_location = chromium
    options.ignore_local_proxy_environment_variables()  # on the way to chromedriver
    options.page_load_strategy = "eager"  # the document is all we read
    options.add_experimental_option("prefs", PREFERENCES)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    options.add_experimental_option(
        "perfLoggingPrefs", {"enableNetwork": True, "enablePage": False}
    )
    for argument in (*ARGUMENTS, *_own(config, folder)):
        options.add_argument(argument)
    if os.geteuid() == 0 or in_container():
        options.add_argument("--no-sandbox")  # Chromium's sandbox cannot start there
    return options


def _own(config: ScrapeConfig, folder: Path) -> tuple[str, ...]:
    """Return the arguments of this run: no redirect of the site can lead the browser to another host."""
    hosts = ", ".join(f"EXCLUDE {host}" for host in (config.host, f"*.{config.host}"))
    return (
        f"--user-data-dir={folder / 'profile'}",
        f"--user-agent={config.user_agent}",
        f"--host-resolver-rules=MAP * ~NOTFOUND, {hosts}",
    )


def in_container() -> bool:
    """Tell whether this is a container, where user namespaces are usually out of reach."""
    return (
        "KUBERNETES_SERVICE_HOST" in os.environ
        or Path("/.dockerenv").exists()
        or Path("/run/.containerenv").exists()
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
    """Load a page; raise Refusal unless it came with status 200."""
    from selenium.common.exceptions import TimeoutException, WebDriverException
    from urllib3.exceptions import HTTPError

    try:
        network_log(browser)  # forget what earlier pages left there
        browser.get(url)
        href, status = browser.execute_script(
            "return [location.href, (performance.getEntriesByType('navigation')[0] || {}).responseStatus || 0]"
        )
    except TimeoutException:
        raise Refusal("no page in time", url, again=True, down=True) from None
    except WebDriverException as error:
        reason = (error.msg or type(error).__name__).splitlines()[0]
        raise Refusal("connection lost", reason, again=True, down=True) from None
    except HTTPError:  # of the line to chromedriver
        raise ToolError(
            "Chromium ended while it read a page", "is there memory enough? it needs 500 MB"
        ) from None
    if href.startswith(
        "chrome-error://"
    ):  # refused connections and endless redirects raise nothing
        raise Refusal("connection lost", "the browser shows its error page", again=True, down=True)
    if urlsplit(href)[:3] != urlsplit(url)[:3]:
        raise Refusal("redirect to another page", href)
    if status != 200:
        raise refusal_of(status, _retry_after(browser, url))


def network_log(browser: "Chrome") -> list[dict[str, Any]]:
    """Return what happened on the network since the last call."""
    entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
    return [json.loads(entry["message"])["message"] for entry in entries]


def _retry_after(browser: "Chrome", url: str) -> str:
    """Return the Retry-After of the page just loaded: WebDriver shows no headers, its log of the network does."""
    for message in network_log(browser):
        response = message["params"].get("response", {})
        if message["method"] == "Network.responseReceived" and response.get("url") == url:
            headers = {name.lower(): value for name, value in response["headers"].items()}
            return str(headers.get("retry-after", ""))
    return ""
