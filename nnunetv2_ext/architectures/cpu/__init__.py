"""Fast paths for eager mode on a CPU, where torch's own kernels are written for large maps and many channels.

Each gives the result of the plain operation, gradients included, and tests compare the two. ``dispatch.is_eager_cpu`` decides
whether they are taken; a GPU, a compiler and mixed precision get the plain operations.

- ``convolutions``: depthwise, narrow and k1 convolutions as modules, which pick one of the next three.
- ``depthwise``: depthwise convolution in 3D and its gradients, by the one kernel that oneDNN vectorises.
- ``neighbours``: convolution to few channels, several neighbouring positions at once.
- ``pointwise``: convolution k1 of channels last as a matrix product.
- ``interpolation``: linear interpolation of small maps as matrix products, alone and with a depthwise convolution behind it.
- ``grouped_layer_norm``: the layer norms of GAB's groups in one function.
- ``norm_pointwise``: layer norm and the convolution k1 behind it in one function.
- ``pooling``: max-pooling, and group norm with max-pooling in one function.
- ``cached``: GHPA's refined maps, computed once per prediction.
- ``layout``: channels last or first, whichever is faster for what follows.
"""
