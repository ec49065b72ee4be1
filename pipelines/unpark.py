"""`arxtune unpark`: ask a site again that is left alone after a refusal, keeping its pace."""

import argparse

from components.scrape.config import ScrapeConfig
from components.scrape.lease import open_lease


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune unpark` to the command line."""
    parser = commands.add_parser("unpark", help="ask a site again that is left alone for a while")
    parser.add_argument("--site", default=ScrapeConfig.default("site"), metavar="URL")
    parser.add_argument("--state", default="", metavar="FOLDER", help="as scrape.state has it")
    parser.set_defaults(command=_unpark)


def _unpark(arguments: argparse.Namespace) -> None:
    config = ScrapeConfig(site=arguments.site, state=arguments.state)
    lifted = open_lease(config).unblock()
    for kind, reason in lifted.items():
        print(f"{config.root}{kind}: asked again; it was left alone because of {reason}")
    if not lifted:
        print(f"{config.root}: nothing is left alone")
