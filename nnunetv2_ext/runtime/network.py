"""An ONNX file as a function, run by onnxruntime or OpenVINO."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.sliding_window import Network

ENGINES = ("onnxruntime", "openvino")


def installed_engine() -> str:
    """The first of the engines that is installed.

    Raises:
        PredictionError: if none is.
    """
    for engine in ENGINES:
        if find_spec(engine):
            return engine
    raise PredictionError(
        f"neither {' nor '.join(ENGINES)} is installed, and one of them has to run the network: pip install onnxruntime"
    )


def load_network(file: Path, sha256: str, *, engine: str, threads: int) -> Network:
    """The network in an ONNX file.

    Args:
        file: the file.
        sha256: what its content has to hash to.
        engine: which of the engines runs it.
        threads: how many the engine uses.

    Raises:
        PredictionError: if the file isn't there or not as it was exported, or the engine isn't installed.
    """
    if not find_spec(engine):
        raise PredictionError(f"{engine} is not installed: pip install {engine}, or leave --engine out to take what is")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise PredictionError(f"{file} can't be read ({error.strerror}): copy the exported folder again") from error
    if sha256_of(content) != sha256:
        raise PredictionError(f"{file} is not as it was exported, its checksum differs: copy the exported folder again")
    return {"onnxruntime": _onnxruntime, "openvino": _openvino}[engine](content, threads)


def sha256_of(content: bytes) -> str:
    """The checksum of a file's content."""
    return hashlib.sha256(content).hexdigest()


def _onnxruntime(content: bytes, threads: int) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (name,) = (given.name for given in session.get_inputs())

    def network(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        (logits,) = session.run(None, {name: batch})
        return logits

    return network


def _openvino(content: bytes, threads: int) -> Network:
    import openvino

    core = openvino.Core()
    # On some CPUs the default is bfloat16, which is not what the network was checked in.
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(core.read_model(content), "CPU", settings)

    def network(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return model(batch)[0].copy()  # the next call writes into the same memory

    return network
