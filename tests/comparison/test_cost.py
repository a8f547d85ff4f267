"""What runs cost, from their cards and logs."""

import pytest

from nnunetv2_ext.comparison.cost import Cost, cost_of
from nnunetv2_ext.comparison.reading import read_models
from tests.comparison.results import CONFIGURATION, DATASET, write_log, write_run


@pytest.fixture
def cost(tmp_path):
    def cost_of_cards(*cards) -> Cost:
        for fold, card in enumerate(cards):
            write_run(tmp_path, "Network", str(fold), 0.5, card=card)
        (model,) = read_models([tmp_path], DATASET, CONFIGURATION)
        return cost_of(model)

    return cost_of_cards


def test_of_several_runs(cost) -> None:
    first = {"epochs": 9, "seconds_per_epoch": 5.0, "peak_memory_bytes": 7, "device": "GPU B"}
    second = {"epochs": 4, "seconds_per_epoch": 9.0, "peak_memory_bytes": 8, "peak_memory_is": "allocated", "device": "GPU A"}
    result = cost({"cost": first, "network": {"parameters": 11}}, {"cost": second})
    assert result == Cost(11, 9, 7.0, 8, "allocated", "GPU A and GPU B")


def test_a_log_takes_the_place_of_what_a_card_lacks(cost) -> None:
    assert cost({"cost": {"peak_memory_bytes": 7}}, None) == Cost(epochs=3, seconds_per_epoch=11.0, peak_memory_bytes=7)


def test_an_epoch_that_was_cut_off_has_no_seconds(tmp_path, cost) -> None:
    folder = write_run(tmp_path, "Network", "1", 0.5)
    write_log(folder, 9)
    (log,) = folder.glob("training_log_*.txt")
    log.write_text(log.read_text().rpartition("Epoch time")[0])
    assert cost(None).seconds_per_epoch == (11.0 + 13.5) / 2


def test_without_card_and_log_nothing_is_known(tmp_path) -> None:
    folder = write_run(tmp_path, "Network", "1", 0.5)
    (log,) = folder.glob("training_log_*.txt")
    log.unlink()
    (model,) = read_models([tmp_path], DATASET, CONFIGURATION)
    assert cost_of(model) == Cost()
