"""The files in the folders that ``nnUNet_extPresets`` names, as modules.

``my_net.py`` there is ``nnunetv2_ext.user_presets.my_net`` in every process that has the variable. So its networks can be
pickled, a plan can name them, and it reaches the files beside it by relative imports. The folders of nnUNet_extTrainer are not
searched for presets, because nnU-Net imports every file in those under another name and stops at the first one that fails.
"""

from nnunetv2_ext.paths import preset_folders

__path__[:] = preset_folders()
