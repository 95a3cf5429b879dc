"""Small data sets of videos to pack, and the frames that packing must keep, computed with OpenCV alone."""

import cv2
import numpy as np

from a2net_gluon.data import Sampling
from a2net_gluon.data.video_datasets import find_lists, index_files, video_dataset
from tests.helpers.videos import moving_frames, write_video

COUNTS = {"train": (7, 40, 23), "val": (31, 12)}  # frames of the videos of each class


def make_video_folder(folder, counts=COUNTS):
    """Two classes of MP4 files of 64×48 pixels with noise that moves; returns `folder`."""
    for part, lengths in counts.items():
        for seed, name in enumerate(("cat", "dog")):
            (folder / part / name).mkdir(parents=True)
            for number, length in enumerate(lengths):
                frames = moving_frames(length + seed, seed=10 * seed + number)
                write_video(folder / part / name / f"shot {number}.mp4", frames, g=10)
    return folder


def dataset_of(folder, *lists, sampling=Sampling(4, 3)):  # noqa: B008  (immutable)
    """The videos of a folder, as the commands open them."""
    return video_dataset(*find_lists(folder, *lists), sampling, index_files(folder, *lists[:2]), str(folder))


def as_jpegs(frames, size, quality=95):
    """Frames (t, h, w, 3) of uint8, resized to `size` (width, height), encoded and decoded, RGB."""
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    encoded = [cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in small]
    return np.stack([cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[:, :, ::-1] for jpeg in encoded])
