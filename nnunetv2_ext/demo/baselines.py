"""What the trained network has to beat: itself before training, and a threshold that learns nothing."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.demo.nifti import read, write

UNTRAINED = "checkpoint_untrained.pth"


def write_untrained_checkpoint(fold: Path) -> Path:
    """Writes a checkpoint of the same network with fresh weights beside the trained one, for ``nnUNetv2_predict -chk``.

    The prediction then takes the very same way, from the plan to the file, and differs in the weights alone.

    Args:
        fold: the folder of a finished training, with its plans and dataset.json one folder up.
    """
    import torch
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunetv2_ext.trainers.networks import network_of_trainer
    from nnunetv2_ext.trainers.resolve import any_trainer_class

    checkpoint = torch.load(fold / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    dataset = load_json(str(fold.parent / "dataset.json"))
    plans = PlansManager(str(fold.parent / "plans.json"))
    configuration = plans.get_configuration(checkpoint["init_args"]["configuration"])
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the same weights in every demo
        network = network_of_trainer(
            any_trainer_class(checkpoint["trainer_name"]),
            plans,
            configuration,
            determine_num_input_channels(plans, configuration, dataset),
            plans.get_label_manager(dataset).num_segmentation_heads,
            deep_supervision=False,
        )
    checkpoint["network_weights"] = network.state_dict()
    path = fold / UNTRAINED
    torch.save(checkpoint, path)
    return path


def threshold(image: NDArray[np.float32], classes: int) -> NDArray[np.uint8]:
    """Labels by intensity alone, the darkest 0: Otsu's thresholds, from nothing but the image itself."""
    from skimage.filters import threshold_multiotsu

    return np.digitize(image, threshold_multiotsu(image.ravel(), classes=classes)).astype(np.uint8)


def write_thresholds(images: Path, output: Path, classes: int) -> None:
    """Labels every image of the folder by threshold."""
    for file in sorted(images.glob("*_0000.nii.gz")):
        voxels, affine = read(file)
        write(output / file.name.replace("_0000", ""), threshold(voxels, classes), affine)
