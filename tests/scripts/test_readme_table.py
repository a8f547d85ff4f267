import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_table_in_the_readme_is_what_the_code_gives():
    command = [sys.executable, "scripts/readme_table.py", "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_readme_s_first_screen_has_the_two_commands():
    first_screen = (ROOT / "README.md").read_text().splitlines()[:25]
    assert any("scripts/demo.sh" in line for line in first_screen)
    assert any("scripts/test.sh" in line for line in first_screen)
