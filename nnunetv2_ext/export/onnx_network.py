"""A network as ONNX, and how far its logits are from those of the network."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.runtime.network import load_network, sha256_of

OPSET = 18
"""the oldest one that torch exports to without converting, so that most programs can read it"""
TOLERANCE, TOLERANCE_OF_HALF = 1e-3, 1e-2
"""of the largest logit: what another order of additions or weights in half precision change stays far below, a wrong
operation far above"""

FREE_BATCH = ({0: torch.export.Dim("batch")},)


def export_network(network: nn.Module, channels: int, patch_size: Sequence[int], file: Path) -> bool:
    """Writes the network to an ONNX file, with its weights inside. The patch is fixed.

    Args:
        network: in evaluation mode, with one output.
        channels: of its input.
        patch_size: spatial size of its input.
        file: what is written.

    Returns:
        whether the batch is free. It is one if the network's code depends on it, as that of axial attention does, which
        works in chunks of a fixed size.

    Raises:
        ExportError: if it has operations that ONNX doesn't have.
    """
    try:
        with _quiet(), torch.no_grad():
            traced, free_batch = _trace(network, channels, patch_size)
            torch.onnx.export(
                traced,
                f=str(file),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=FREE_BATCH if free_batch else None,  # for its name
                external_data=False,
            )
    except Exception as error:  # torch's exporters raise errors of many kinds
        reason = str(error).strip().splitlines() or [""]
        raise ExportError(
            f"{type(network).__name__} can't be exported to ONNX ({type(error).__name__}: {reason[0]}). It has to be one that "
            "torch.onnx.export takes."
        ) from error
    return free_batch


def _trace(network: nn.Module, channels: int, patch_size: Sequence[int]) -> tuple[torch.export.ExportedProgram, bool]:
    """The network as a graph, if that is possible for any batch, else for a batch of one."""
    try:
        batch = torch.zeros(2, channels, *patch_size)
        return torch.export.export(network, (batch,), dynamic_shapes=FREE_BATCH), True
    except Exception:  # torch raises errors of many kinds where the batch decides what is computed
        return torch.export.export(network, (torch.zeros(1, channels, *patch_size),)), False


def store_in_half(file: Path) -> None:
    """Stores the weights of an ONNX file in half precision, which halves its size.

    They become float32 again when the file is loaded, so the network computes as it did and as fast.

    Args:
        file: changed in place.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(file)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == TensorProto.FLOAT and len(weight.dims) > 1:  # the others are few: biases, and factors of sizes
            with np.errstate(over="ignore"):  # logits that aren't numbers are refused
                values = numpy_helper.to_array(weight).astype(np.float16)
            half = numpy_helper.from_array(values, f"{weight.name}_in_half")
            casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
            weight.CopyFrom(half)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, file)


def largest_difference(
    network: nn.Module, channels: int, patch_size: Sequence[int], file: Path, *, free_batch: bool, half: bool = False
) -> float:
    """The largest difference between logits of the network and of its ONNX file, on noise.

    Args:
        network: what was exported.
        channels: of its input.
        patch_size: spatial size of its input.
        file: where it was written to.
        free_batch: whether a batch of three is compared, too.
        half: whether its weights are in half precision.

    Raises:
        ExportError: if it is more than rounding explains.
    """
    exported = load_network(file, sha256_of(file.read_bytes()), engine="onnxruntime", threads=torch.get_num_threads())
    largest, tolerance = 0.0, TOLERANCE_OF_HALF if half else TOLERANCE
    for batch in (1, 3) if free_batch else (1,):
        noise = torch.randn(batch, channels, *patch_size, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = network(noise).numpy()
        difference = float(np.abs(exported(noise.numpy()) - expected).max())
        if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
            raise ExportError(
                f"the logits of {file.name} differ by up to {difference:.3g} from those of the network it was exported from, "
                f"the largest of which is {np.abs(expected).max():.3g}. Nothing was exported; please report this with your "
                "versions of torch and onnxruntime."
            )
        largest = max(largest, difference)
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's progress to itself."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
