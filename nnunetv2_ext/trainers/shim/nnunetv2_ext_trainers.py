"""The extension point: nnU-Net finds our trainers through this module. ``nnUNet_extTrainer`` names its folder.

nnU-Net asks each module in the folder for an attribute of the trainer's name, and forgets the module afterwards. Hence this
file holds nothing and hands on; the folder is no package, and the file's name is one that no other folder will have.
"""

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.trainers.names import PREFIX, nearest


def __getattr__(name: str) -> type:
    if not name.startswith(PREFIX):
        raise AttributeError(name)
    from nnunetv2_ext.trainers.folders import folders_behind_ours, search
    from nnunetv2_ext.trainers.resolve import trainer_class

    try:
        return trainer_class(name)
    except UnknownTrainerError as error:
        # A trainer of another package is not for us to judge. One that looks like ours and that nobody has was mistyped.
        if nearest(name) and search(name, folders_behind_ours()) is None:
            raise
        raise AttributeError(name) from error
