import shutil

import pytest


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs the page's JavaScript without a browser."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found
