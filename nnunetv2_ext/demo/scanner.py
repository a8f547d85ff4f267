"""What makes one scan differ from the next, simulated: contrast, coil sensitivity, gain and noise.

The template alone would be too easy: it is an average without noise, so a fixed threshold tells its tissues apart. As in a
scan with surface coils, what is received depends on the distance from the coil as much as on the tissue, so that white matter
far from it is as dark as grey matter near it. Which is which can be told from what is around a voxel, not from the voxel.
"""

import numpy as np
from numpy.typing import NDArray

FALL_OFF = 0.5
"""of the coil's sensitivity from the middle of a crop to its side, as a natural logarithm"""


def scan(image: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """An image with intensities from 0 to 1 as a scanner of random settings would show it; the anatomy stays where it is."""
    contrast = image ** generator.uniform(0.8, 1.25)
    received = contrast * _sensitivity(image.shape, generator)
    level = generator.uniform(0.02, 0.06)
    real, imaginary = (level * generator.standard_normal(image.shape) for _ in range(2))
    magnitude = np.hypot(received + real, imaginary)
    return (generator.uniform(200, 1500) * magnitude).astype(np.float32)


def _sensitivity(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float64]:
    """Falls off along a random direction, from some 1.9 at one end to 0.5 at the other."""
    direction = generator.standard_normal(len(shape))
    direction /= np.linalg.norm(direction)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    return np.exp(FALL_OFF * sum(part * axis for part, axis in zip(direction, axes, strict=True)))
