import cv2
import numpy as np

from a2net_gluon.data import list_images
from a2net_gluon.data.digits import TRAIN_COUNT, load_digits, write_folder


def test_written_folder_holds_the_digits(tmp_path):
    assert write_folder(tmp_path) == 1797
    classes, images = list_images(tmp_path / "val")
    assert classes == tuple("0123456789")
    assert len(images.names) == 1797 - TRAIN_COUNT
    expected, labels = load_digits()
    for name, label in list(zip(images.names, images.labels))[::50]:
        number = int(name.split("/")[-1][:4])
        assert labels[number] == label
        np.testing.assert_array_equal(cv2.imread(name), expected[number])
