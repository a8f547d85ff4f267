"""Trained models in forms that others can use.

- ``trained_model``: reading a model from nnU-Net's results.
- ``onnx_network``: its networks as ONNX, each compared with what it was made from.
- ``description``: what else prediction needs, from nnU-Net's plans and ``dataset.json``.
- ``folder``: both as a folder for ``nnunetv2_ext.runtime``.
- ``web``: the same with a page that predicts in the browser. ``page/`` is the page, ``javascript_packages`` fetches what it
  needs of others.
- ``stock``: as a model of a stock trainer, for nnU-Net itself.
"""
