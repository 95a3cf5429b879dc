"""Small real clips for training steps and exports, cut from the videos of the shared data."""

import cv2
import numpy as np


def decode(path):
    """All frames of a video, uint8 (t, h, w, 3), RGB; a file can hold fewer than it declares."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        found, frame = capture.read()
        if not found:
            return np.stack(frames)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def cut(frames, start, count, size):
    """`count` frames in a row of a video (t, h, w, 3), each cut to its middle: uint8 (count, size, size, 3)."""
    height, width = frames.shape[1:3]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    squares = frames[start : start + count, y : y + side, x : x + side]
    return np.stack([cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA) for square in squares])


def clips(folder, each, frames, size):
    """Cut `each` clips from every video in `folder`, from its beginning to its end.

    Returns
    -------
    clips : (N, frames, size, size, 3) of uint8
    labels : (N,), the number of the video
    """
    videos = [decode(path) for path in sorted(folder.iterdir())]
    found = [
        cut(video, int(start), frames, size) for video in videos for start in np.linspace(0, len(video) - frames, each)
    ]
    return np.stack(found), np.repeat(np.arange(len(videos)), each)


def batch(folder, each, frames, size):
    """The same as the input of a network, (N, 3, frames, size, size) of float32 around 0, and labels."""
    found, labels = clips(folder, each, frames, size)
    return (found.transpose(0, 4, 1, 2, 3).astype(np.float32) - 117) / 60, labels.astype(np.float32)
