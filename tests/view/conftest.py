"""A dataset that several tests only look at."""

import pytest
from viewing import prepare_hostile


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, text_tokenizer):
    return prepare_hostile(tmp_path_factory.mktemp("hostile"), text_tokenizer)
