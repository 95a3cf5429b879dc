"""Training images as one reads them for PyTorch: OpenCV and NumPy, nothing of the package, nothing of torch.

The augmentation is our "dpn": the same steps, with random numbers of the same distributions, drawn in the same order.
"""

import math

import cv2
import numpy as np

__all__ = ["Photographs", "augment", "decode", "prepare_worker"]

AREA = (0.08, 1.0)  # of the image's
ASPECT = 4 / 3
HUE, LIGHTNESS, SATURATION = 20, 50, 40  # on OpenCV's scale for 8 bits


def decode(path):
    """Return the pixels of an image file, RGB, in full size and quality."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def augment(image, size, rng):
    """Crop `image`, RGB (h, w, 3), to (size, size, 3), mirror it and shift its colours."""
    x, y, width, height = _draw_box(rng, image.shape[1], image.shape[0])
    crop = cv2.resize(image[y : y + height, x : x + width], (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        crop = cv2.flip(crop, 1)
    limits = np.array([HUE, LIGHTNESS, SATURATION])
    shift = rng.integers(-limits, limits + 1)
    hls = cv2.add(cv2.cvtColor(crop, cv2.COLOR_RGB2HLS), (*map(float, shift), 0.0))  # clips to 0 and 255
    hls[..., 0] = np.minimum(hls[..., 0], 180)
    return cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)


def _draw_box(rng, width, height):
    for _ in range(10):
        area = rng.uniform(*AREA) * width * height
        ratio = rng.uniform(1 / ASPECT, ASPECT)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


class Photographs:
    """A data set for torch's DataLoader: crops (3, size, size) of uint8, with labels."""

    def __init__(self, paths, labels, size):
        self._paths, self._labels, self._size = paths, labels, size
        self.rng = np.random.default_rng()

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, number):
        crop = augment(decode(self._paths[number]), self._size, self.rng)
        return np.ascontiguousarray(crop.transpose(2, 0, 1)), self._labels[number]


def prepare_worker(number):
    """Prepare a worker of the DataLoader: random numbers of its own, and no threads of OpenCV beside its own."""
    import torch.utils.data

    cv2.setNumThreads(0)
    torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng((0, number))
