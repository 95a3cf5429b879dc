"""train_imagenet.py with fewer batches in an epoch of ``--benchmark``.

python -m benchmarks.shortened BATCHES [flags of train_imagenet.py]
"""

import sys

import train_imagenet
from a2net_gluon import from_options

if __name__ == "__main__":
    from_options.SYNTHETIC_BATCHES = int(sys.argv[1])
    sys.exit(train_imagenet.main(sys.argv[2:]))
