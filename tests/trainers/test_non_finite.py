import contextlib
import io
import math

import pytest
import torch

from nnunetv2_ext.errors import NonFiniteError
from nnunetv2_ext.trainers.non_finite import TOLERATED_STEPS, LossWatch
from tests.trainers.tiny_training import TinyTraining

NAME = "nnUNetTrainerEAB_3epochs_2iters"


def cases(*values: float) -> dict:
    """A batch with a case for each value, of which its image is full."""
    return {"data": torch.tensor(values).view(-1, 1, 1, 1), "keys": [f"case_{number}" for number in range(len(values))]}


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_in_float32_the_first_one_is_a_problem(loss):
    watch = LossWatch("training", 250, tolerated=0)
    assert watch.problem(1.0, cases(0, 0)) is None
    problem = watch.problem(loss, cases(0, 0))
    assert f"the loss is {loss} in training iteration 2 of 250. The cases in the batch are case_0, case_1." in problem
    assert "Their images are finite, so it is the network that diverged. If that happens again" in problem


def test_in_mixed_precision_a_handful_in_a_row_is_tolerated():
    watch = LossWatch("training", 250, tolerated=TOLERATED_STEPS)
    for _ in range(3):
        assert all(watch.problem(math.nan, cases(0)) is None for _ in range(TOLERATED_STEPS))
        assert watch.problem(1.0, cases(0)) is None
    assert all(watch.problem(math.nan, cases(0)) is None for _ in range(TOLERATED_STEPS))
    assert "training iteration 24 of 250, as in the 5 iterations before" in watch.problem(math.nan, cases(0))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_the_image_that_is_to_blame_is_named(value):
    problem = LossWatch("training", 250, tolerated=0).problem(math.nan, cases(0, value, 0))
    assert "After preprocessing, case_1 has voxels that are NaN, infinite or beyond 3.4028e+38" in problem
    assert "diverged" not in problem


@pytest.mark.parametrize("value", [math.nan, math.inf, 7e4])
def test_an_image_that_float16_can_not_hold_is_not_tolerated(value):
    watch = LossWatch("training", 250, tolerated=TOLERATED_STEPS)
    problem = watch.problem(math.nan, cases(0, value))
    assert "training iteration 1 of 250. The cases" in problem
    assert "case_1 has voxels that are NaN, infinite or beyond 65504" in problem


def run(trainer) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.run_training()


def lose_weights_in_step(trainer, step: int) -> None:
    """As if a gradient had been infinite though the loss was finite."""
    trainer.initialize()
    steps = iter(range(step))

    def poison(*_):
        if next(steps, None) is None:
            with torch.no_grad():
                next(trainer.network.parameters()).fill_(math.nan)

    trainer.optimizer.register_step_post_hook(poison)


@pytest.mark.parametrize(("step", "place"), [(3, "validation iteration 1 of 1"), (4, "training iteration 2 of 2")])
def test_a_training_stops_before_its_weights_reach_a_checkpoint(step, place, tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    trainer = training.start(NAME, fixed_data=True)
    lose_weights_in_step(trainer, step)
    epoch = step // 2
    where = rf"in epoch {epoch}: the loss is nan in {place}. The cases in the batch are case_0, case_1\."
    with pytest.raises(NonFiniteError, match=rf"{where}.* written after {epoch} epochs; --c continues from it"):
        run(trainer)
    for path in training.fold(NAME).glob("*.pth"):
        weights = torch.load(path, weights_only=False)["network_weights"]
        assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert training.start(NAME, continue_training=True).current_epoch == epoch


def test_the_very_first_step(tmp_path, monkeypatch):
    trainer = TinyTraining(tmp_path, monkeypatch).start(NAME, fixed_data=True)
    lose_weights_in_step(trainer, 0)
    with pytest.raises(NonFiniteError, match="No checkpoint had been written yet"):
        run(trainer)


def test_a_step_that_the_gradient_scaler_skips_is_no_problem(tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    trainer = training.start("nnUNetTrainerEAB_1epochs_3iters", fixed_data=True)
    trainer.initialize()
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    factors = iter([math.inf])
    next(trainer.network.parameters()).register_hook(lambda gradient: gradient * next(factors, 1.0))
    run(trainer)
    assert trainer.grad_scaler.get_scale() == 512.0
    assert all(torch.isfinite(parameter).all() for parameter in trainer.network.parameters())


@pytest.mark.parametrize(("bad", "stops"), [(TOLERATED_STEPS, False), (TOLERATED_STEPS + 1, True)])
def test_a_handful_of_overflows_is_tolerated(bad, stops, tmp_path, monkeypatch):
    trainer = TinyTraining(tmp_path, monkeypatch).start("nnUNetTrainerEAB_1epochs_8iters", fixed_data=True)
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.initialize()
    losses, loss = iter([math.nan] * bad), trainer.loss
    trainer.loss = lambda *pair: loss(*pair) * next(losses, 1.0)
    with pytest.raises(NonFiniteError, match="as in the 5 iterations before") if stops else contextlib.nullcontext():
        run(trainer)


def test_running_statistics_survive_an_overflow(tmp_path, monkeypatch):
    trainer = TinyTraining(tmp_path, monkeypatch).start("nnUNetTrainerMBTFE_1epochs_8iters", fixed_data=True)
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.initialize()
    factors = iter([1.0, 1.0, math.inf])
    first = next(module for module in trainer.network.modules() if isinstance(module, torch.nn.Conv3d))
    first.register_forward_hook(lambda _module, _inputs, output: output * next(factors, 1.0))
    run(trainer)
    statistics = [buffer for buffer in trainer.network.buffers() if buffer.is_floating_point()]
    assert statistics
    assert all(torch.isfinite(buffer).all() for buffer in statistics)
    assert trainer.grad_scaler.get_scale() == 512.0


def test_gradients_that_overflow_in_every_step_stop_it(tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    trainer = training.start("nnUNetTrainerEAB_1epochs_5iters", fixed_data=True)
    trainer.initialize()
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1e-3)
    next(trainer.network.parameters()).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteError, match=r"in epoch 0: the gradients overflow in every step, .* down to 3e-05"):
        run(trainer)
