import pytest

from nnunetv2_ext.profiling.case import Case, case_of_patch


@pytest.fixture
def case() -> Case:
    """A narrow network on a small patch."""
    made = case_of_patch([32, 32], channels=1, classes=2, batch_size=2)
    made.configuration.network_arch_init_kwargs["features_per_stage"] = [8, 8, 10, 12]
    return made
