"""What a site answers instead of what was asked for, and what that means for the next request."""

import re
import time
from email.utils import parsedate_to_datetime

TOO_LARGE = "too large"  # a reason
BUSY = (429, 503)  # ask again later
CAPTCHA = re.compile(rb"<title>[^<]*captcha", re.IGNORECASE)


class Refusal(Exception):
    """Say why one address gave nothing.

    `again`: the same request may succeed; `later`: at the end of the run it may; `down`: it speaks against the site
    rather than the address; `stop`: the site wants us to stop; `after`: seconds that it told us to wait.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        again: bool = False,
        down: bool = False,
        stop: bool = False,
        later: bool = False,
        after: float | None = None,
    ) -> None:
        self.reason, self.detail, self.again, self.down, self.stop = (
            reason,
            detail,
            again,
            down,
            stop,
        )
        self.later, self.after = later or again, after
        super().__init__(f"{reason}: {detail}" if detail else reason)


def refusal_of(status: int, retry_after: str = "") -> Refusal:
    """Return what a status other than 200 means."""
    if status in BUSY:
        return Refusal(f"HTTP {status}", again=True, down=True, after=_seconds(retry_after))
    if status == 403:  # how arXiv tells a crawler to stop; who goes on is taken for an attacker
        return Refusal("HTTP 403", stop=True)
    return Refusal(f"HTTP {status}", again=status >= 500, down=status >= 500)


def stop_at_captcha(beginning: bytes) -> None:
    """Raise a Refusal that stops everything when a document asks for a captcha."""
    if CAPTCHA.search(beginning):
        raise Refusal("captcha", "the site asks whether we are human", stop=True)


def _seconds(told: str) -> float | None:
    """Return how long Retry-After says to wait, which is seconds or a date."""
    if told.strip().isdigit():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
