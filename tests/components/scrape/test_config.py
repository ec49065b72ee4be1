"""The settings refuse what no site could answer."""

from typing import Any

import pytest

from components.scrape.config import ScrapeConfig
from components.shared.errors import ConfigError


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"query": " "}, "names no words"),
        ({"query": "*former"}, "cannot start with a wildcard"),
        ({"published_after": "18.4.2024"}, "written YYYY-MM-DD"),
        ({"published_after": "20240418"}, "written YYYY-MM-DD"),
        ({"published_after": "2024-02-30"}, "written YYYY-MM-DD"),
        ({"published_after": "1890-01-01"}, "since 1991"),
        ({"published_before": "2024-04-18"}, "must be later than scrape.published_after"),
        ({"published_before": "soon"}, "written YYYY-MM-DD"),
        ({"categories": ("computers",)}, "must be like cs.CL"),
        ({"categories": ("cs.CL OR x",)}, "must be like cs.CL"),
        ({"field": "everything"}, "one of all, title"),
        ({"source": "scholar"}, "one of auto, list, search, oai, api"),
        ({"max_papers": 0}, "at least 1"),
        ({"max_papers": 20_001}, "at most 20000"),
        ({"page_size": 60}, "one of 25, 50, 100, 200"),
        ({"site": "arxiv.org"}, "http(s)://host"),
        ({"site": "https://arxiv.org/search"}, "http(s)://host"),
        ({"site": "http://127.0.0.1:port"}, "http(s)://host"),
        ({"site": "http://no host"}, "http(s)://host"),
        ({"seconds_between_requests": 1}, "at least 3 for https://arxiv.org"),
        ({"contact": "a@b\nEvil: header"}, "on one line"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(knobs: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"scrape.{next(iter(knobs))}") as caught:
        ScrapeConfig(**knobs)
    assert told in str(caught.value)


def test_only_a_site_on_this_machine_may_be_asked_faster_than_arxiv_allows() -> None:
    for site in ("http://127.0.0.1:8000", "http://localhost:8000/", "http://[::1]:8000"):
        assert ScrapeConfig(site=site, seconds_between_requests=0).site_kind == "loopback"
    assert ScrapeConfig().site_kind == "arxiv.org"


def test_all_hosts_of_arxiv_are_one_site_with_apis_of_its_own() -> None:
    for site in ("https://arxiv.org", "https://www.arxiv.org", "https://export.arxiv.org"):
        config = ScrapeConfig(site=site)
        assert config.host == "arxiv.org"
        assert config.api_root == "https://export.arxiv.org/api/query"
        assert config.oai_root == "https://oaipmh.arxiv.org/oai"
        assert config.pdf_root == "https://export.arxiv.org/pdf"
    assert ScrapeConfig(site="http://127.0.0.1:80").api_root == "http://127.0.0.1:80/api/query"


def test_the_contact_stands_in_the_user_agent() -> None:
    assert ScrapeConfig().user_agent == "arxtune/0.1"
    assert (
        ScrapeConfig(contact="me@example.org").user_agent == "arxtune/0.1 (contact: me@example.org)"
    )


def test_the_default_question_is_of_one_category_and_others_of_any() -> None:
    assert ScrapeConfig().asked_categories == ("cs.CL",)
    assert ScrapeConfig(query="proteins").asked_categories == ()
    assert ScrapeConfig(categories=("math",)).asked_categories == ("math",)


def test_patience_is_for_sites_elsewhere_unless_it_is_asked_for() -> None:
    assert ScrapeConfig().patience_s == 6 * 3600
    assert ScrapeConfig(site="http://localhost:1").patience_s == 0
    assert ScrapeConfig(site="http://localhost:1", patience_hours=1).patience_s == 3600
