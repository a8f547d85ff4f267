"""The configuration that the demo trains: that of nnU-Net's own plans with a quarter of its width."""

import json
from pathlib import Path
from typing import Any

PARENT = "3d_fullres"
CONFIGURATION = "3d_narrow"
SHARE = 4


def add_narrow_configuration(plans_file: Path) -> dict[str, Any]:
    """Adds the configuration to the plans, in the way that nnU-Net's page on plans files describes, and returns it.

    It inherits the preprocessed data, the patch and all else, so only the network's width differs. On a CPU many iterations of
    a narrow network teach more in a few minutes than a few of a wide one.
    """
    plans = json.loads(plans_file.read_text())
    architecture = plans["configurations"][PARENT]["architecture"]
    features = [width // SHARE for width in architecture["arch_kwargs"]["features_per_stage"]]
    narrow = {**architecture, "arch_kwargs": {**architecture["arch_kwargs"], "features_per_stage": features}}
    configuration = {"inherits_from": PARENT, "architecture": narrow}
    plans["configurations"][CONFIGURATION] = configuration
    plans_file.write_text(json.dumps(plans, indent=4) + "\n")
    return configuration
