"""Small real images for training steps: pieces of the two photographs that come with scikit-learn."""

import numpy as np


def pieces(count, size=32, seed=0):
    """Return `count` images (count, size, size, 3) of uint8 and the number, 0 or 1, of the photograph of each."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(seed)
    photographs = load_sample_images().images
    labels = rng.permutation(np.arange(count) % 2)
    images = []
    for label in labels:
        height, width = (side - 2 * size for side in photographs[label].shape[:2])
        y, x = rng.integers(0, height), rng.integers(0, width)
        images.append(photographs[label][y : y + 2 * size : 2, x : x + 2 * size : 2])
    return np.stack(images), labels


def batch(count, size=32, seed=0):
    """The same as the input of a network, (count, 3, size, size) of float32 around 0, and labels."""
    images, labels = pieces(count, size, seed)
    return (images.transpose(0, 3, 1, 2).astype(np.float32) - 117) / 60, labels.astype(np.float32)
