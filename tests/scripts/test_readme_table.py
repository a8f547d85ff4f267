from itertools import product
from pathlib import Path

import pytest

from nnunetv2_ext.presets import MONAI, OURS, PRESETS
from nnunetv2_ext.profiling.count import Counts
from scripts import readme_table

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tables_are_what_the_code_gives():
    """A network of each kind; python scripts/readme_table.py --check counts them all, which takes minutes."""
    rows = [readme_table.STOCK, *(PRESETS[name] for name in ("EGE", "EGEUNet", "MedT", "MCANet"))]
    counts = readme_table.counted(rows)
    for row, marker in product(rows, ("networks", "presets")):
        page, _ = readme_table.TABLES[marker]
        assert readme_table.line(row, counts) in page.read_text(), "run: python scripts/readme_table.py"


@pytest.mark.slow
def test_the_table_of_monai_s_networks_is_what_the_code_gives():
    pytest.importorskip("monai")
    page, _ = readme_table.TABLES["monai"]
    counts = readme_table.counted([readme_table.STOCK, PRESETS["SegResNet"]])
    assert readme_table.line(PRESETS["SegResNet"], counts) in page.read_text(), "run: python scripts/readme_table.py"


def test_the_readme_has_the_networks_and_the_docs_all_presets():
    counts = {row.name: Counts(10**6, 1.0, 2.0, 4.0, 2**30, 2**29, batch_size=2) for row in (readme_table.STOCK, *OURS, *MONAI)}
    networks, presets = readme_table.networks(counts), readme_table.presets(counts)
    assert all(f"| `{row.name}` |" in presets for row in OURS)
    assert all(f"| `{row.name}` |" in readme_table.monai(counts) for row in MONAI)
    assert "| `EGE` |" in networks
    assert "| `EGENoGAB` |" not in networks
    assert "| *stock nnU-Net* | nnU-Net's PlainConvUNet | 1.00 M | 2.0 | 1.0 GiB, 1.00x |" in networks
    assert all(" s |" in line for line in networks.splitlines()[2 : networks.splitlines().index("")])


@pytest.mark.parametrize("marker", readme_table.TABLES)
def test_each_table_has_its_place(marker):
    page, _ = readme_table.TABLES[marker]
    assert page.read_text().count(f"<!-- {marker} -->\n") == page.read_text().count(f"<!-- /{marker} -->\n") == 1


def test_the_readme_s_first_screen_has_the_demo():
    assert any("scripts/demo.sh" in line for line in (ROOT / "README.md").read_text().splitlines()[:25])
