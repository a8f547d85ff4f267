"""Comparison of our ports with recorded numbers of the published implementations.

A file in ``tests/golden`` holds the published arguments (``config``), parameters (``state_dict``), input, output, the gradients
of the input under two scalars of the outputs, the norms of the parameters' gradients under one of them, and the buffers after
one forward in training mode, all in float64.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.parity import build, key

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.pt"))


def squares(outputs: list[Tensor]) -> Tensor:
    return torch.stack([output.square().mean() for output in outputs]).sum()


def probe(outputs: list[Tensor]) -> Tensor:
    """Unlike the squares it has a gradient behind a BatchNorm in training mode too."""
    waves = (torch.cos(torch.arange(output.numel(), dtype=output.dtype)) for output in outputs)
    terms = [(output.flatten() * wave).sum() / output.numel() ** 0.5 for output, wave in zip(outputs, waves, strict=True)]
    return torch.stack(terms).sum()


def assert_equals_published(path: Path) -> None:
    golden = torch.load(path, weights_only=True)
    config = json.loads(golden["config"])
    module = build(config["name"], config["kwargs"])
    assert module is not None, f"there is no port of {config['name']}"
    keys = {official: key(config["name"], official) for official in golden["state_dict"]}
    load(module.double(), golden["state_dict"], keys)
    module.train(golden["mode"] == "train")

    inputs, scalars = list(flat(golden["input"])), {"loss_grad_input": squares, "probe_grad_input": probe}
    for tensor, gradient in zip(inputs, flat(golden["loss_grad_input"]), strict=True):
        tensor.requires_grad_(gradient is not None)
    arguments = golden["input"] if isinstance(golden["input"], list) else [golden["input"]]
    outputs = list(flat(module(*arguments)))
    assert_close(outputs, golden["output"], "output")
    leaves = [tensor for tensor in inputs if tensor.requires_grad]
    for name, scalar in scalars.items():
        expected = [gradient for gradient in flat(golden[name]) if gradient is not None]
        assert_close(torch.autograd.grad(scalar(outputs), leaves, retain_graph=True), expected, name)
    assert_gradients_of_parameters(module, probe(outputs), golden["probe_grad_param_norm"], keys)

    buffers = dict(module.named_buffers())
    for official, expected in golden.get("buffers_after", {}).items():
        if keys[official] is not None:
            assert_close(buffers[keys[official]], expected, official)


def assert_gradients_of_parameters(
    module: nn.Module, scalar: Tensor, published: dict[str, float], keys: dict[str, Any]
) -> None:
    """By their norms; where a parameter of ours stands for several of theirs, there is nothing to compare."""
    parameters = dict(module.named_parameters())
    norms = {keys[official]: norm for official, norm in published.items() if keys[official] in parameters}
    if norms:
        gradients = torch.autograd.grad(scalar, [parameters[name] for name in norms], retain_graph=True)
        for (name, norm), gradient in zip(norms.items(), gradients, strict=True):
            message: Callable[[str], str] = partial("gradient of {}: {}".format, name)
            torch.testing.assert_close(float(gradient.norm()), norm, rtol=1e-8, atol=1e-11, msg=message)


def load(module: nn.Module, state_dict: dict[str, Tensor], keys: dict[str, Any]) -> None:
    ours: dict[str, Tensor] = {}
    for official, tensor in state_dict.items():
        names = [keys[official]] if isinstance(keys[official], str) else keys[official] or []
        ours.update({name: tensor.double() if tensor.is_floating_point() else tensor for name in names})
    module.load_state_dict(ours)


def assert_close(ours: Any, published: Any, what: str) -> None:
    """Within 1e-8 of the largest published value."""
    pairs = list(zip(flat(ours), flat(published), strict=True))
    largest = max(float(theirs.abs().max()) for _, theirs in pairs)
    for mine, theirs in pairs:
        message: Callable[[str], str] = lambda text: f"{what}: {text}"  # noqa: E731
        torch.testing.assert_close(mine.detach(), theirs.to(mine.dtype), rtol=0, atol=1e-8 * max(largest, 1e-3), msg=message)


def flat(nested: Any) -> Iterator[Any]:
    if isinstance(nested, (list, tuple)):
        for item in nested:
            yield from flat(item)
    else:
        yield nested
