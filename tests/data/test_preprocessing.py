import io
import json

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from a2net_gluon.data import AUGMENTATIONS, NORMALIZATIONS, Augmentation, Preprocessing
from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks.description import Description


def augment(augmentation, image, size, rng):
    """Draw for an image, and apply the draws to it."""
    height, width = image.shape[:2]
    return augmentation.apply(image, augmentation.draw(rng, width, height), size)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalize(name):
    mean, scale = NORMALIZATIONS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4))
    expected = (pixels - np.reshape(mean, (3, 1, 1))) * np.reshape(scale, (3, 1, 1))
    result = Preprocessing(4, 1.0, mean, scale).normalize(mx.nd.array(pixels, dtype="uint8"))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_three_normalizations_are_their_projects():
    assert NORMALIZATIONS["dpn"] == ((124, 117, 104), (0.0167,) * 3)
    mean, scale = NORMALIZATIONS["torchvision"]
    np.testing.assert_allclose(np.array(mean) / 255, (0.485, 0.456, 0.406))
    np.testing.assert_allclose(1 / np.array(scale) / 255, (0.229, 0.224, 0.225))
    mean, scale = NORMALIZATIONS["gluoncv"]
    np.testing.assert_allclose((*mean, *(1 / np.array(scale))), (123.68, 116.779, 103.939, 58.393, 57.12, 57.375))


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (224, 224), (100, 60), (1, 500)])
def test_centre_crop_is_the_middle(shape):
    ramp = np.linspace(0, 255, shape[1]).astype("uint8")
    image = np.broadcast_to(ramp[:, None], (*shape, 3))
    crop = Preprocessing(size=48, crop_ratio=0.75).centre_crop(image)
    assert crop.shape == (48, 48, 3)
    assert abs(float(crop.mean()) - 127) < 3  # symmetric around the middle of the ramp


def test_resize_is_gluoncvs():
    assert Preprocessing(224, 0.875).resize == 256
    assert Preprocessing(299, 0.875).resize == 342


def test_augmentation_is_a_function_of_its_random_numbers():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype="uint8")
    augmentation = AUGMENTATIONS["dpn"]
    once, again, other = (augment(augmentation, image, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert once.shape == (32, 32, 3)
    assert once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_crops_keep_to_their_limits():
    augmentation = Augmentation(min_area=0.3, aspect=4 / 3)
    rng = np.random.default_rng(0)
    for _ in range(300):
        x, y, w, h = augmentation._crop_box(70, 50, rng)
        assert 0 <= x <= x + w <= 70
        assert 0 <= y <= y + h <= 50
        assert w * h > 0.3 * 70 * 50 - 60
        assert 0.7 < w / h < 1.42


def test_jitter_moves_hue_within_limits():
    red = np.broadcast_to(np.array([200, 40, 40], "uint8"), (8, 8, 3))
    results = [augment(Augmentation(lightness=50), red, 8, np.random.default_rng(seed)) for seed in range(20)]
    brightness = [float(result.astype(int).mean()) for result in results]
    assert max(brightness) - min(brightness) > 30
    assert all((result == result[0, 0]).all() for result in results)


def test_mirror_happens_half_of_the_time():
    image = np.broadcast_to(np.arange(16, dtype="uint8")[:, None] * 10, (16, 16, 3))
    mirrored = 0
    for seed in range(200):
        crop = augment(Augmentation(mirror=True), image, 16, np.random.default_rng(seed))
        mirrored += int(crop[0, 0, 0] > crop[0, -1, 0])
    assert 70 < mirrored < 130


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("sampling", ["411", "420", "422", "440", "444"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (61, 43)])
def test_jpegs_have_the_pixels_that_mxnet_decodes(shape, sampling, progressive):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype="uint8")
    flags = {
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"),
        cv2.IMWRITE_JPEG_PROGRESSIVE: progressive,
    }
    content = cv2.imencode(".jpg", image, [number for pair in flags.items() for number in pair])[1].tobytes()
    np.testing.assert_array_equal(decode(content), mx.image.imdecode(content).asnumpy())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA", "P", "1"])
def test_images_have_the_pixels_that_mxnet_decodes(mode, kind):
    image = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype="uint8")).convert(mode)
    file = io.BytesIO()
    try:
        image.save(file, kind)
    except OSError:
        pytest.skip(f"{kind} has no {mode}")
    content = file.getvalue()
    np.testing.assert_array_equal(decode(content), mx.image.imdecode(content).asnumpy())


def test_augmentation_takes_the_crop_that_mxnet_makes():
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype="uint8")
    augmentation = Augmentation(min_area=0.1, aspect=4 / 3)
    for seed in range(10):
        box = augmentation._crop_box(70, 90, np.random.default_rng(seed))
        expected = mx.image.fixed_crop(mx.nd.array(image, dtype="uint8"), *box, (32, 32), 2).asnumpy()
        crop = augment(augmentation, image, 32, np.random.default_rng(seed)).astype(int)
        assert np.abs(crop - expected).max() <= 1  # OpenCV's versions round differently


def test_an_image_is_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype="uint8")
    before = image.copy()
    crops = [Preprocessing(32, 1.0).centre_crop(image), augment(Augmentation(), image, 32, np.random.default_rng(0))]
    for crop in crops:
        crop[:] = 0
    np.testing.assert_array_equal(image, before)
    assert image.flags.writeable


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty file"), (b"not an image", "not an image")])
def test_undecodable(content, reason):
    with pytest.raises(DecodeError, match=reason):
        decode(content)


def test_truncated_jpeg_is_not_half_an_image(image_folder):
    content = (image_folder / "train" / "cat" / "0.jpg").read_bytes()
    assert decode(content).shape == (40, 50, 3)
    with pytest.raises(DecodeError, match="truncated JPEG"):
        decode(content[: len(content) // 2])


def test_jpeg_with_damaged_tables_is_no_image(image_folder):
    content = bytearray((image_folder / "train" / "cat" / "0.jpg").read_bytes())
    content[content.index(b"\xff\xc4") + 5] = 255  # more codes of one bit than there can be
    with pytest.raises(DecodeError, match="not an image"):
        decode(bytes(content))


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"crop_ratio": 0},
        {"crop_ratio": 1.2},
        {"frames": 0},
        {"frames": 2.5},
        {"stride": 0},
        {"order": "back"},
    ],
)
def test_bad_preprocessing(arguments):
    with pytest.raises(UsageError):
        Preprocessing(**arguments)


def test_description_comes_back(tmp_path):
    description = Description("resnet50", ("ñandú", "b"), Preprocessing(64, 0.9, *NORMALIZATIONS["torchvision"]))
    description.save(tmp_path / "model.json")
    assert Description.load(tmp_path / "model.json") == description
    assert Description.beside(tmp_path / "net.params") == description
    assert Description.beside(tmp_path / "elsewhere" / "net.params") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"options": {"context": ["nl"]}},
        {"options": {"placement": "conv4:2"}},
        {"options": {"placement": {"conv4": 2}}},
        {"options": {"placement": {"conv4": ["2"]}}},
        {"options": {"reduction": 0}},
        {"options": {"pretrained": True}},
        {"options": ["nl"]},
        {"frames": -3},
        {"frames": float("inf")},
        {"frames": "16"},
    ],
)
def test_description_with_damaged_options(tmp_path, fields):
    path = tmp_path / "model.json"
    options = {"context": "nl", "placement": {"conv4": [2]}, "reduction": 4}
    Description("resnet50", ("a",), Preprocessing(64, frames=8), options=options).save(path)
    assert Description.load(path).options == options
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(FailureError, match=r"model.json: not a description of a network \(.*\); export"):
        Description.load(path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model": "x", "classes": ["a"], "preprocessing": {"mean": 3}}'])
def test_damaged_description(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(FailureError, match="not a description"):
        Description.load(tmp_path / "model.json")


def test_another_interpolation_is_refused(tmp_path):
    Description("resnet50", ("a",), Preprocessing(64)).save(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace("bicubic", "bilinear"))
    with pytest.raises(FailureError, match="interpolation is 'bilinear', not 'bicubic'"):
        Description.load(tmp_path / "model.json")


def test_description_of_a_clip_network_comes_back(tmp_path):
    for order in ("forward", "shuffled"):
        description = Description("resnet26_3d", ("a",), Preprocessing(64, frames=8, stride=2, order=order))
        description.save(tmp_path / "model.json")
        assert Description.load(tmp_path / "model.json") == description


def test_description_file_is_that_of_version_0_1(tmp_path):
    """Its reader looks for `frames` beside the preprocessing, and refuses fields it does not know inside."""
    for frames in (None, 8):
        Description("resnet50", ("a",), Preprocessing(64, frames=frames)).save(tmp_path / "model.json")
        fields = json.loads((tmp_path / "model.json").read_text())
        assert fields["frames"] == frames
        assert set(fields["preprocessing"]) == {"size", "crop_ratio", "mean", "scale"}
        assert fields.pop("interpolation") == "bicubic"
        fields.pop("stride", None)
        (tmp_path / "model.json").write_text(json.dumps(fields))
        assert Description.load(tmp_path / "model.json").preprocessing == Preprocessing(64, frames=frames)


def test_input_shape():
    assert Preprocessing(64).input_shape == (3, 64, 64)
    assert Preprocessing(64, frames=8).input_shape == (3, 8, 64, 64)


def test_clips_are_normalized_as_their_frames():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4, 4), dtype="uint8")
    preprocessing = Preprocessing(4, frames=5)
    clips = preprocessing.normalize(mx.nd.array(pixels, dtype="uint8")).asnumpy()
    for number in range(5):
        frames = preprocessing.normalize(mx.nd.array(pixels[:, :, number], dtype="uint8")).asnumpy()
        np.testing.assert_array_equal(clips[:, :, number], frames)
