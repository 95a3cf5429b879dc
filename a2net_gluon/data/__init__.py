"""Data: folders, records, videos, embedded digits, synthetic batches; decoding, augmentation and preprocessing.

Every source yields `Batch` objects of uint8 crops; `Preprocessing.normalize` turns them into a network's input on the
device. Pixels are transferred as bytes, and all sources use one normalization.
"""

from a2net_gluon.data.augmentation import AUGMENTATIONS, Augmentation, Draws
from a2net_gluon.data.clip_packing import pack_clips
from a2net_gluon.data.clip_records import PackedVideo, clip_record_dataset
from a2net_gluon.data.clips import Sampling, Video, VideoSamples
from a2net_gluon.data.dali import DaliSource
from a2net_gluon.data.digit_pairs import digit_pairs_dataset
from a2net_gluon.data.digits import digits_dataset
from a2net_gluon.data.folder import find_images, folder_dataset, list_images
from a2net_gluon.data.moving_digits import moving_digits_dataset
from a2net_gluon.data.native import NativeSource
from a2net_gluon.data.packing import pack_folder
from a2net_gluon.data.preprocessing import NORMALIZATIONS, Preprocessing
from a2net_gluon.data.records import RecordFile, record_dataset
from a2net_gluon.data.samples import Batch, Dataset, ImageSamples, Problems, Samples, Shard, Source
from a2net_gluon.data.source import SampleSource
from a2net_gluon.data.synthetic import SyntheticSource
from a2net_gluon.data.video_cache import VideoIndexes
from a2net_gluon.data.video_decoding import index_video, read_frames
from a2net_gluon.data.video_files import find_videos
from a2net_gluon.data.video_index import VideoIndex
from a2net_gluon.data.video_lists import (
    VideoList,
    check_groups_apart,
    check_same_classes,
    folder_videos,
    read_list,
    ucf101_split,
)
from a2net_gluon.data.views import View, ViewGrid, ViewSamples

__all__ = [
    "AUGMENTATIONS",
    "NORMALIZATIONS",
    "Augmentation",
    "Batch",
    "DaliSource",
    "Dataset",
    "Draws",
    "ImageSamples",
    "NativeSource",
    "PackedVideo",
    "Preprocessing",
    "Problems",
    "RecordFile",
    "SampleSource",
    "Samples",
    "Sampling",
    "Shard",
    "Source",
    "SyntheticSource",
    "Video",
    "VideoIndex",
    "VideoIndexes",
    "VideoList",
    "VideoSamples",
    "View",
    "ViewGrid",
    "ViewSamples",
    "check_groups_apart",
    "check_same_classes",
    "clip_record_dataset",
    "digit_pairs_dataset",
    "digits_dataset",
    "find_images",
    "find_videos",
    "folder_dataset",
    "folder_videos",
    "index_video",
    "list_images",
    "moving_digits_dataset",
    "pack_clips",
    "pack_folder",
    "read_frames",
    "read_list",
    "record_dataset",
    "ucf101_split",
]
