"""Networks on the ``meta`` device: of the right shape, without weights and without the time to draw them."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.modules.module import register_module_buffer_registration_hook, register_module_parameter_registration_hook

Built = TypeVar("Built", bound=nn.Module)


def without_weights(build: Callable[[], Built]) -> Built:
    """``build()`` on the ``meta`` device.

    Each parameter and buffer moves there when its module gets it. All else that a constructor does happens on the CPU, so it
    may ask a tensor for its values with ``.item()``, which under ``torch.device("meta")`` it may not.
    """
    moved: dict[Tensor, Tensor] = {}  # by what it was, since a tensor that two modules share must stay one

    def parameter_on_meta(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter:  # noqa: ARG001
        if parameter.is_meta:
            return parameter
        return moved.setdefault(parameter, nn.Parameter(parameter.to("meta"), parameter.requires_grad))  # type: ignore[return-value]

    def buffer_on_meta(module: nn.Module, name: str, buffer: Tensor | None) -> Tensor | None:  # noqa: ARG001
        return buffer if buffer is None or buffer.is_meta else moved.setdefault(buffer, buffer.to("meta"))

    with (
        register_module_parameter_registration_hook(parameter_on_meta),  # type: ignore[arg-type]
        register_module_buffer_registration_hook(buffer_on_meta),  # type: ignore[arg-type]
    ):
        return build().to("meta")
