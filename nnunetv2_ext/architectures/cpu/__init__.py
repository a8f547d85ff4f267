"""Fast paths for eager mode on a CPU, where torch's own kernels are written for large maps and many channels.

Each gives the result of the plain operation, gradients included, and tests compare the two. ``dispatch.is_eager_cpu`` decides
whether they are taken; a GPU, a compiler and mixed precision get the plain operations. What each saves of EGEUNet at 40x56x40,
batch 2, on one thread (AMD EPYC, torch 2.14.1; how much longer a training step and a prediction take without it):

=======================  ===================================================================  =======  ==========
file                     equals                                                               step     prediction
=======================  ===================================================================  =======  ==========
``depthwise``            depthwise convolution in 3D and its gradients, which are the one     +30 %    +21 %
                         kernel that oneDNN vectorises
``interpolation``        linear interpolation of small maps, as matrix products               +11 %    +15 %
``interpolation``        the same with a depthwise convolution behind it, for GHPA's maps     +1 %     +17 %
``cached``               GHPA's refined maps, computed once per prediction                    0 %      +10 %
``grouped_layer_norm``   the layer norms of GAB's groups, in one function                     +10 %    +18 %
``pooling``              group norm with max-pooling, in one function                         +10 %    0 %
=======================  ===================================================================  =======  ==========

``convolutions`` has the modules that take ``depthwise``, ``layout`` the change between channels last and channels first that
they and the pooling need, and ``pointwise`` the convolution k1 of lazy feature maps as a matrix product.
"""
