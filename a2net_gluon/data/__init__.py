"""Where batches come from: folders, records, embedded digits, synthetic; and the one definition of preprocessing.

Every source delivers `Batch` objects of uint8 crops; `Preprocessing.normalize` makes them a network's input on the
device that trains. So pixels travel as bytes, and all sources share one normalisation.
"""

from a2net_gluon.data.augmentation import AUGMENTATIONS, Augmentation
from a2net_gluon.data.digits import digits_source
from a2net_gluon.data.folder import find_images, folder_source, list_images
from a2net_gluon.data.packing import pack_folder
from a2net_gluon.data.preprocessing import NORMALIZATIONS, Preprocessing
from a2net_gluon.data.records import RecordFile, RecordSource, record_source
from a2net_gluon.data.source import Batch, ImageSource, Problems, Shard
from a2net_gluon.data.synthetic import SyntheticSource

__all__ = [
    "AUGMENTATIONS",
    "NORMALIZATIONS",
    "Augmentation",
    "Batch",
    "ImageSource",
    "Preprocessing",
    "Problems",
    "RecordFile",
    "RecordSource",
    "Shard",
    "SyntheticSource",
    "digits_source",
    "find_images",
    "folder_source",
    "list_images",
    "pack_folder",
    "record_source",
]
