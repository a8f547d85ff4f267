"""Adan with the update rule of adan-pytorch and the speed of timm's implementation over all tensors at once."""

from collections.abc import Callable
from typing import Any

import timm.optim
import torch


class Adan(timm.optim.Adan):
    """Adan (arXiv 2208.06677) with the steps of adan-pytorch, which nnU-Net uses, but without its loop over parameters.

    timm's Adan is the same from the second step on, with the betas written as decay (0.98, 0.92, 0.99) instead of as update
    (0.02, 0.08, 0.01). In its first step adan-pytorch only stores the gradient and applies the weight decay, and its moments
    start with the second; this class does the same, so a learning rate found for one holds for the other.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if self.state:
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["step"] = 1
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                self.state[parameter] = {
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                    "exp_avg_diff": torch.zeros_like(parameter),
                    "neg_pre_grad": -parameter.grad,
                }
                parameter.div_(1 + group["lr"] * group["weight_decay"])
        return loss
