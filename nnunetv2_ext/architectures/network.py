"""What all networks share: the plan they are built from and nnU-Net's contract."""

import pydoc
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import Tensor, nn
from typing_extensions import Unpack

from nnunetv2_ext.architectures.plan import Plan, PlanArguments
from nnunetv2_ext.errors import CheckpointError, PresetError
from nnunetv2_ext.memory.feature_map_size import feature_map_size

EXTRAS = {"monai": "nnunetv2-ext[monai]"}
"""what to install for the networks of a package, where it isn't the package itself"""


class Network(nn.Module):
    """A network that stock nnU-Net builds from a plan, trains and predicts with.

    Its outputs are logits: a list, highest resolution first, while ``network.decoder.deep_supervision`` is set, else the
    highest resolution alone.
    """

    def __init__(self, **arguments: Unpack[PlanArguments]) -> None:
        super().__init__()
        self.plan = Plan.from_arguments(arguments)

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """nnU-Net's initialisation, applied to every submodule."""
        InitWeights_He(1e-2)(module)

    def check_input(self, shape: Sequence[int]) -> None:
        """Refuses an input ``(N, C, *spatial)`` that the network can't process in the mode that it is in.

        Raises:
            InputSizeError: with a size that fits.
        """
        self.plan.check_input(shape, training=self.training)

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """What nnU-Net's planner estimates memory from: see ``nnunetv2_ext.memory.feature_map_size``.

        Args:
            input_size: spatial size of the patch, without batch and channels.
        """
        return feature_map_size(self, self.plan.arguments, input_size)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As in torch, but weights of another network are refused in one sentence.

        Raises:
            CheckpointError: if names or shapes don't match.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            own = self.state_dict()
            missing, unknown = sorted(own.keys() - state_dict.keys()), sorted(state_dict.keys() - own.keys())
            shapes = sorted(k for k in own.keys() & state_dict.keys() if own[k].shape != state_dict[k].shape)
            found = [
                f"{len(names)} tensors {what} (such as {names[0]})"
                for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
                if names
            ]
            if not found:
                raise
            raise CheckpointError(
                f"the weights are not those of {type(self).__name__} on this plan: {', '.join(found)}. Use the trainer and the "
                "plans that the checkpoint was made with; it names them under 'trainer_name' and 'init_args'."
            ) from error


def keep_in_graph(output: Tensor, unused: nn.Module) -> Tensor:
    """``output``, unchanged, but a gradient of zero reaches the parameters of ``unused``.

    Distributed training waits for the gradient of every parameter, so a head that is switched off has to have one.
    """
    if not torch.is_grad_enabled():
        return output
    return output + sum(parameter.sum() for parameter in unused.parameters()) * 0


def located(path: str) -> Any:
    """What a dotted path names.

    Raises:
        PresetError: if it can't be imported, or isn't there.
    """
    try:
        found: Any = pydoc.locate(path)
    except pydoc.ErrorDuringImport as error:
        raise PresetError(f"{path} can't be imported: {error}") from error
    if found is None:
        package = path.partition(".")[0]
        install = EXTRAS.get(package, package)
        raise PresetError(f"there is no {path}: correct its path, or install the package that has it (pip install '{install}')")
    return found
