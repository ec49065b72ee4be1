"""One small base for all tests of the trainer."""

from pathlib import Path

import pytest

from tests.models import random_llama


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("base"))
