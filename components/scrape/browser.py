"""A headless Chromium that reads pages for Selenium and never outlives this process."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from components.scrape.config import ScrapeConfig
from components.scrape.site import check_beginning, retry
from components.shared.errors import ToolError
from components.shared.http import FetchError, Outcome, Response

if TYPE_CHECKING:
    from selenium.webdriver import Chrome, ChromeOptions

# Ends the browser's process group and removes its folder as soon as the pipe to this process
# closes, be it by SIGKILL: without it ten processes and a profile stay behind. The first line of
# the pipe names the group. It ignores what may be sent to all our descendants, else it would end
# before its work.
REAPER_SCRIPT = """
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
    "--disable-back-forward-cache",  # it would keep each page that was read: 100 MB for 200 rows
    "--disable-crash-reporter",
    "--disable-breakpad",
    "--no-first-run",
)
# JavaScript is off because MathJax rewrites titles and abstracts; execute_script works all the
# same.
PREFERENCES = {
    "profile.managed_default_content_settings.javascript": 2,
    "profile.managed_default_content_settings.images": 2,
}
# A page is read as its source and parsed here: a document that is shown would fetch what its
# frames, styles and pictures name, and robots.txt binds those requests too.
SOURCE = "view-source:"
PARSED = """
const lines = Array.from(window.document.querySelectorAll('td.line-content'));
const source = lines.map(line => line.textContent).join('\\n');
const document = new DOMParser().parseFromString(source, 'text/html');
"""
PAGE = """
const entry = performance.getEntriesByType('navigation')[0] || {};
const text = document.body ? document.body.textContent.slice(0, 200) : '';
return [location.href, entry.responseStatus || 0, document.title, text];
"""
FIX = "sudo apt-get install --no-install-recommends chromium chromium-driver chromium-sandbox"
SLACK_S = 15  # that chromedriver has beyond the page's own timeout


@contextmanager
def open_browser(config: ScrapeConfig) -> Iterator["Chrome"]:
    """Yield a browser; on the way out, whichever it is, no process and no file of it stays."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.remote.remote_connection import RemoteConnection

    chromium, chromedriver = find_tools()
    with _reaper() as (folder, register_pid):
        service = Service(
            chromedriver,
            popen_kw={"preexec_fn": register_pid},
            env={**os.environ, "TMPDIR": str(folder)},
        )
        options = _options(config, chromium, folder)
        try:
            browser = Chrome(options=options, service=service)
        except WebDriverException as error:
            reason = _own_words(chromium, options.arguments) or error.msg or type(error).__name__
            raise ToolError(f"Chromium does not start: {reason.splitlines()[0]}", FIX) from None
        browser.set_page_load_timeout(config.timeout_s)
        if isinstance(browser.command_executor, RemoteConnection):
            browser.command_executor.client_config.timeout = config.timeout_s + SLACK_S
        browser.execute_cdp_cmd("Network.enable", {})
        # Never asked to quit: chromedriver hears that only after the page it waits for.
        yield browser


def find_tools() -> tuple[str, str]:
    """Return the paths of Chromium and its driver."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    chromedriver = shutil.which("chromedriver")
    if not chromium:
        raise ToolError("Chromium is not installed", FIX)
    if not chromedriver:
        raise ToolError("chromedriver is not installed", FIX)
    return chromium, chromedriver


def _own_words(chromium: str, arguments: Sequence[str]) -> str:
    """Return what Chromium itself says when it does not start, which its driver keeps to itself."""
    command = [chromium, *arguments, "--dump-dom", "about:blank"]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=SLACK_S, check=False)
        if done.returncode and (said := done.stderr.strip().splitlines()):
            return said[-1].rpartition("] ")[2]  # behind process, time and place in its source
    return ""


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
    """Return the arguments of this run: no redirect of the site can lead the browser to another
    host."""
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
def _reaper() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield a folder for the browser, and what its driver calls before it starts: it names
    itself to the reaper."""
    folder = Path(tempfile.mkdtemp(prefix="arxtune-browser-"))
    with subprocess.Popen(
        ["/bin/sh", "-c", REAPER_SCRIPT, "reaper", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to our own group must not end it first
    ) as reaper:
        assert reaper.stdin
        pipe = reaper.stdin.fileno()

        def register_pid() -> None:
            os.setsid()
            os.write(pipe, b"%d\n" % os.getpid())

        yield folder, register_pid  # leaving the block closes the pipe and waits


class Browser:
    """A browser that starts with the first page it is to read, and ends with its block."""

    def __init__(self, config: ScrapeConfig) -> None:
        self.config = config
        self._stack = ExitStack()
        self._chrome: Chrome | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, url: str, script: str) -> dict[str, Any]:
        """Return what a script makes of a page; raise FetchError unless the page came with
        status 200."""
        if self._chrome is None:
            self._chrome = self._stack.enter_context(open_browser(self.config))
        navigate(self._chrome, url)
        raw: dict[str, Any] = self._chrome.execute_script(PARSED + script)
        return raw


def navigate(browser: "Chrome", url: str) -> None:
    """Load a page; raise FetchError unless it came with status 200."""
    from selenium.common.exceptions import TimeoutException, WebDriverException
    from urllib3.exceptions import HTTPError

    try:
        network_log(browser)  # forget what earlier pages left there
        _block_all_but(browser, url)
        browser.get("about:blank")  # a page frees its memory when another process shows the next
        browser.get(SOURCE + url)
        href, status, title, text = browser.execute_script(PARSED + PAGE)
    except TimeoutException:
        raise retry("page load timed out", url) from None
    except WebDriverException as error:
        reason = (error.msg or type(error).__name__).splitlines()[0]
        raise retry("connection lost", reason) from None
    except HTTPError:  # of the line to chromedriver
        raise ToolError(
            "Chromium ended while it read a page", "is there memory enough? it needs 500 MB"
        ) from None
    if href.startswith("chrome-error://"):  # refused and endlessly led on: nothing is raised
        raise retry("connection lost", "the browser shows its error page")
    if urlsplit(href)[:3] != urlsplit(url)[:3]:
        raise FetchError("redirect to another page", Outcome.SKIP, href[:200])
    if status != 200:
        Response(status, {"Retry-After": _retry_after(browser, url)}, b"", url).check()
    check_beginning(f"<title>{title}</title>".encode("utf-8", "replace"))
    check_beginning(text.encode("utf-8", "replace"))


def _block_all_but(browser: "Chrome", url: str) -> None:
    """Let the browser ask for this page alone: a shown source still wants the site's icon."""
    page = url.partition("?")[0]
    patterns = [{"urlPattern": allowed, "block": False} for allowed in (page, f"{page}?*")]
    patterns.append({"urlPattern": "*://*:*/*", "block": True})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urlPatterns": patterns})


def network_log(browser: "Chrome") -> list[dict[str, Any]]:
    """Return what happened on the network since the last call."""
    entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
    return [json.loads(entry["message"])["message"] for entry in entries]


def _retry_after(browser: "Chrome", url: str) -> str:
    """Return the Retry-After of the page just loaded: WebDriver shows no headers, its log of the
    network does."""
    for message in network_log(browser):
        response = message["params"].get("response", {})
        if message["method"] == "Network.responseReceived" and response.get("url") == url:
            headers = {name.lower(): value for name, value in response["headers"].items()}
            return str(headers.get("retry-after", ""))
    return ""
