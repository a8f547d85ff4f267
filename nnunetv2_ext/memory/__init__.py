"""The memory of a training step on a GPU, counted on a machine that needs none.

Networks, planner and profiler import it; it imports none of them.

- ``step``: counts the bytes that are alive during a forward and a backward, on the ``meta`` device, which computes nothing.
- ``autocast``: gives tensors of the CPU and the ``meta`` device the types that CUDA's autocast would give them.
- ``gpu_paths``: makes networks take the operations of a GPU while they are counted.
- ``weightless``: builds networks of any package on the ``meta`` device.
- ``meta_cache``: operations on the ``meta`` device, each carried out once for the same shapes.
- ``feature_map_size``: the count in the unit of nnU-Net's planner.
"""
