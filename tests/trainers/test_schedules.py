import pytest

from nnunetv2_ext.trainers.schedules import warm_up_then_polynomial
from tests.trainers.runs import make_trainer


def learning_rates(trainer, epochs):
    rates = []
    for epoch in epochs:
        trainer.lr_scheduler.step(epoch)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    return rates


def test_warm_up_rises_linearly_to_the_learning_rate_and_then_decays():
    shares = [warm_up_then_polynomial(epoch, epochs=1000) for epoch in range(1000)]
    assert shares[:3] == [1 / 51, 2 / 51, 3 / 51]
    assert max(shares) == shares[50] == 1
    assert shares[50:] == sorted(shares[50:], reverse=True)
    assert shares[-1] == pytest.approx((1 / 950) ** 0.9)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_warm_up_of_a_smoke_run_has_a_learning_rate(epochs):
    assert all(0 < warm_up_then_polynomial(epoch, epochs=epochs) <= 1 for epoch in range(epochs))


def test_attention_presets_warm_up_whatever_the_order_of_epochs(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerMCANet", tmp_path, monkeypatch)
    trainer.initialize()
    in_order = learning_rates(trainer, [0, 25, 50, 525])
    assert in_order == pytest.approx([3e-4 / 51, 3e-4 * 26 / 51, 3e-4, 3e-4 * 0.5**0.9])
    assert learning_rates(trainer, [525, 0]) == pytest.approx([in_order[3], in_order[0]])  # as after --c


def test_the_cosine_ends_at_its_lowest(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEUNet", tmp_path, monkeypatch)
    trainer.initialize()
    assert trainer.num_epochs == 250
    assert learning_rates(trainer, [0, 50, 100, 250]) == pytest.approx([1e-3, 1e-5, 1e-3, 1e-5])
