"""The door through which nnU-Net finds our trainers: ``nnUNet_extTrainer`` points at the folder of this file.

nnU-Net asks each module in the folder for an attribute of the trainer's name, and forgets the module afterwards. Hence this
file holds nothing and hands on; the folder is no package, and the file's name is one that no other folder will have.
"""

import os
import sys
from pathlib import Path

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.trainers.names import PREFIX


def _is_last_folder() -> bool:
    folders = [folder for folder in os.environ.get("nnUNet_extTrainer", "").split(os.pathsep) if folder.strip()]
    return bool(folders) and Path(folders[-1]).resolve() == Path(__file__).resolve().parent


def __getattr__(name: str) -> type:
    if not name.startswith(PREFIX):
        raise AttributeError(name)
    from nnunetv2_ext.trainers.resolve import trainer_class

    try:
        return trainer_class(name)
    except UnknownTrainerError as error:
        if _is_last_folder():
            raise
        # A folder behind ours may have it, so this is a hint; if none does, nnU-Net raises.
        print(f"nnunetv2_ext: {error}", file=sys.stderr)
        raise AttributeError(name) from error
