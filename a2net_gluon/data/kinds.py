"""The kind of data, images or videos, where one flag names both and the network takes either."""

from __future__ import annotations

import os
import pathlib

from a2net_gluon.data.folder import is_image
from a2net_gluon.data.records import RecordFile
from a2net_gluon.data.video_files import is_video
from a2net_gluon.settings import Data, ImageFolder, PackedClips, Records, Videos

__all__ = ["as_found"]


def as_found(data: Data) -> Data:
    """Find videos behind settings of images: packed ones in record files, or a folder of classes.

    Parameters
    ----------
    data : settings.Data

    Returns
    -------
    settings.Data
        `PackedClips` for `Records` whose validation file holds clips, `Videos` for an `ImageFolder` whose classes hold
        videos and no images; other data as they are, also those that are not there.

    Raises
    ------
    UsageError
        If one of the record files is missing.
    FailureError
        If it is damaged.
    """
    if isinstance(data, Records) and data.val and not data.native:
        if RecordFile(data.val, data.val_index).holds_clips:
            return PackedClips(data.train, data.train_index, data.val, data.val_index, data.classes)
    elif isinstance(data, ImageFolder) and _holds_videos(pathlib.Path(data.path, "val")):
        return Videos(data.path, classes=data.classes)
    return data


def _holds_videos(folder: pathlib.Path) -> bool:
    """Whether the first sample of ``folder/<class>/`` that an ending tells is a video."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and not path.name.startswith("."):
            with os.scandir(path) as inside:
                for entry in inside:
                    if is_image(pathlib.Path(entry.path)):
                        return False
                    if is_video(entry):
                        return True
    return False
