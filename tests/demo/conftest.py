"""The template is read once."""

import pytest

from nnunetv2_ext.demo.anatomy import Template, load_template


@pytest.fixture(scope="session")
def template() -> Template:
    return load_template()
