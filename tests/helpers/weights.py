"""Random weights of large networks."""

import mxnet as mx

# As large as those of MSRAPrelu, but uniform: drawn in a fifth of the time, which is a second for ResNet-50.
QUICK = mx.init.Xavier("uniform", "avg", 3 * 2 / (1 + 0.25**2))
