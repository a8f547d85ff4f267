"""The pages in Chinese have the commands, the examples and the links of those in English."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/your-network.md"]
every_page = pytest.mark.parametrize("page", PAGES)
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
GENERATED = re.compile(r"<!-- (\w+) -->.*?<!-- /\1 -->", re.DOTALL)
ENGLISH_ONLY = {"nnUNetTrainer<Name>"}  # a placeholder, which is translated


def read(page: str) -> str:
    return GENERATED.sub("", (ROOT / page).read_text(encoding="utf-8"))


def chinese(page: str) -> str:
    return page.replace(".md", ".zh-CN.md")


def code(page: str) -> list[tuple[str, list[str]]]:
    """Every block of code: its language, and its lines without the comments behind them, which are translated."""
    return [
        (language, [re.sub(r"\s+#.*", "", line) for line in text.splitlines()]) for language, text in BLOCK.findall(read(page))
    ]


def names(page: str) -> set[str]:
    """Commands and names in the text."""
    return {name for name in re.findall(r"`([^`]+)`", BLOCK.sub("", read(page))) if name.isascii()} - ENGLISH_ONLY


def links(page: str) -> set[str]:
    """Where the links lead, but for those from one language to the other."""
    targets = {target.replace(".zh-CN", "") for target in re.findall(r"\]\(([^)]+)\)", read(page))}
    return targets - {Path(page).name.replace(".zh-CN", "")}


@every_page
def test_the_code_is_the_same(page):
    assert code(page)
    assert code(chinese(page)) == code(page)


@every_page
def test_the_same_things_are_named(page):
    missing, added = names(page) - names(chinese(page)), names(chinese(page)) - names(page)
    assert missing == set()
    assert added <= {"nnUNetv2_ext list"}


@every_page
def test_the_same_pages_are_linked(page):
    assert links(chinese(page)) >= links(page)


@every_page
def test_each_has_the_other_s_sections_and_leads_to_it(page):
    headings = [re.findall(r"^#+ ", BLOCK.sub("", read(one)), re.MULTILINE) for one in (page, chinese(page))]
    assert headings[0] == headings[1]
    assert f"({Path(page).name})" in read(chinese(page))
    assert f"({Path(chinese(page)).name})" in read(page)
