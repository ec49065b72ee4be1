"""Which papers may be trained on: the licence that each version of a paper was given on arXiv.

Sources: arXiv's list of licences (info.arxiv.org/help/license) and the Creative Commons deeds. Openly licensed
here means that copying, adapting and commercial use are allowed; attributions go into the NOTICE.
"""

LICENCES: dict[str, str] = {
    "cc-by": "creativecommons.org/licenses/by/",
    "cc-by-sa": "creativecommons.org/licenses/by-sa/",
    "cc0": "creativecommons.org/publicdomain/zero/",
    "cc-by-nc-sa": "creativecommons.org/licenses/by-nc-sa/",
    "cc-by-nc-nd": "creativecommons.org/licenses/by-nc-nd/",
    "arxiv-nonexclusive": "arxiv.org/licenses/nonexclusive-distrib/",
    "arxiv-assumed-1991-2003": "arxiv.org/licenses/assumed-1991-2003/",
    "unknown": "",
}
OPEN = ("cc-by", "cc-by-sa", "cc0")


def licence_name(url: str) -> str:
    """Return the short name of a licence URL; "unknown" for anything that is not on arXiv's list."""
    bare = url.split("://", 1)[-1].removeprefix("www.")
    return next((name for name, start in LICENCES.items() if start and bare.startswith(start)), "unknown")
