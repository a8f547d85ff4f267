"""Prediction from an exported model, without torch and nnU-Net: numpy, scikit-image, SimpleITK, and onnxruntime or OpenVINO.

Every step repeats what nnU-Net 2.8 does on a CPU, down to the half precision in which it adds up its tiles, so that the
segmentations are the same.

- ``description``: ``model.json``, what an exported folder says of itself.
- ``images``: reading images and writing segmentations, as nnU-Net's readers do.
- ``normalization``, ``resampling``, ``preprocessing``: from an image to the network's input.
- ``network``: an ONNX file as a function.
- ``sliding_window``: from the network's input to logits.
- ``labels``: from logits to a segmentation.
- ``predictor``: all of it.
"""
