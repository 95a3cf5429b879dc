"""Exports of networks for clips: compared on videos, and predictions of videos that are those of an evaluation."""

import csv
import json
from importlib.util import find_spec

import cv2
import mxnet as mx
import numpy as np
import pytest
from scipy.special import softmax

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.data import Preprocessing, find_videos, videos
from a2net_gluon.deploy import FORMS, Predictor, export_network, load_form
from a2net_gluon.deploy.proof import in_batches
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.description import Description
from a2net_gluon.settings.views import PROTOCOLS, Protocol
from tests.helpers.commands import call, error
from tests.helpers.videos import moving_frames, write_video

NETWORK, CLASSES = "a2net_resnet20_small_3d", ("run", "walk", "stand")
PREPROCESSING = Preprocessing(16, 0.8, frames=4, stride=2)
EQUAL = ("onnx", "optimized", "symbol") if find_spec("onnxruntime") else ("optimized", "symbol")  # it is an extra


@pytest.fixture(scope="module")
def net():
    mx.random.seed(4)
    net = a2.get_model(NETWORK, classes=len(CLASSES))
    net.initialize(mx.init.MSRAPrelu())
    net.output.weight.set_data(4 * net.output.weight.data())  # probabilities far from alike
    return net


@pytest.fixture(scope="module")
def description():
    return Description(NETWORK, CLASSES, PREPROCESSING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Wide and high videos of different lengths, one of them shorter than a clip, and a folder of frames."""
    folder = tmp_path_factory.mktemp("videos")
    for number, (name, length) in enumerate((("run", 5), ("run", 23), ("walk", 12))):
        (folder / "val" / name).mkdir(parents=True, exist_ok=True)
        frames = moving_frames(length, 24 + 16 * (number % 2), 32, seed=number)
        write_video(folder / "val" / name / f"{number}.mp4", frames, g=5)
    frames = folder / "val" / "stand" / "frames"
    frames.mkdir(parents=True)
    for number, frame in enumerate(moving_frames(11, 24, 40, seed=9)):
        cv2.imwrite(str(frames / f"img_{number}.png"), frame[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def exported(net, description, folder, tmp_path_factory):
    """The prefix of an export in all equal forms, whose parameters an evaluation reads too."""
    prefix = tmp_path_factory.mktemp("out") / "model"
    export_network(net, prefix, description, EQUAL, find_videos([folder]))
    return prefix


def evaluated(exported, folder, views, path):
    """The mean of the views of each video in the scores that an evaluation writes, by the video's name."""
    data = settings.Videos(folder)
    a2.evaluate(
        settings.Evaluation(settings.Network(NETWORK), f"{exported}-0000.params", data=data, views=views, scores=path)
    )
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["counts"] == "1"]
    names = list(dict.fromkeys(row["video"] for row in rows))
    scores = [[[float(row[one]) for one in CLASSES] for row in rows if row["video"] == name] for name in names]
    return names, [np.mean(views, axis=0) for views in scores]


def in_order(prediction):
    """The probabilities of a prediction in the order of the classes."""
    found = dict(prediction.classes)
    return [found[name] for name in CLASSES]


@pytest.mark.parametrize("form", EQUAL)
@pytest.mark.parametrize(
    "views",
    [
        settings.Views(),
        settings.Views("three-crop", clips=3),
        settings.Views("author", clips=2, crops=3, seed=5),
        settings.Views("ucf", clips=5, seed=6),
        settings.Views("three-crop-256"),
    ],
    ids=["centre", "three-crop", "author", "ucf", "three-crop-256"],
)
def test_probabilities_are_those_of_an_evaluation(exported, folder, tmp_path, monkeypatch, views, form):
    larger = Protocol(1, 2, input={"input_size": 24, "crop_ratio": 1.0})  # 256 pixels would take minutes
    monkeypatch.setitem(PROTOCOLS, "three-crop-256", larger)
    names, expected = evaluated(exported, folder, views, tmp_path / "scores.csv")
    assert len(names) == 4
    predictions = list(Predictor(exported, form).predict(names, batch_size=4, views=views))
    assert [prediction.path for prediction in predictions] == names
    found = [in_order(prediction) for prediction in predictions]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-3  # videos are told apart


def test_probabilities_are_the_mean_over_clips_by_hand(net, exported, folder):
    """Frame numbers, crop, normalization and mean as they follow from the documentation, with OpenCV's own frames."""
    path = folder / "val" / "run" / "1.mp4"  # 23 frames, 40 × 32 pixels (h×w)
    capture, frames = cv2.VideoCapture(str(path)), []
    while len(frames) < 23:
        frames.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    resized = [mx.image.resize_short(mx.nd.array(frame, dtype="uint8"), 20, 2).asnumpy() for frame in frames]
    crops = np.stack([frame[4:20, 2:18] for frame in resized]).astype(np.float64)  # of 25 × 20 pixels
    crops = (crops - [124, 117, 104]) * 0.0167
    clips = np.stack([crops[start : start + 7 : 2] for start in (0, 8, 16)])
    logits = net(mx.nd.array(clips.transpose(0, 4, 1, 2, 3))).asnumpy()
    (prediction,) = Predictor(exported, "symbol").predict([path], views=settings.Views(clips=3))
    np.testing.assert_allclose(in_order(prediction), softmax(logits.astype(np.float64), 1).mean(0), atol=1e-6)


def test_views_are_computed_in_parts_and_a_video_is_read_once(exported, folder, monkeypatch):
    sizes, read = [], []

    def counting(load):
        def loaded(*paths, ctx):
            run = load(*paths, ctx=ctx)
            return lambda inputs: (sizes.append(len(inputs)), run(inputs))[1]

        return loaded

    def reading(path, numbers, index):
        read.append(path)
        return plain(path, numbers, index)

    plain = videos.read_frames
    monkeypatch.setattr(videos, "read_frames", reading)
    monkeypatch.setitem(FORMS, "symbol", FORMS["symbol"]._replace(load=counting(FORMS["symbol"].load)))
    predictor, paths = Predictor(exported, "symbol"), find_videos([folder / "val" / "run", folder / "val" / "walk"])
    sizes.clear()  # of the check at the beginning
    whole = list(predictor.predict(paths, views=settings.Views(clips=4, crops=3)))
    assert sizes == [32, 4]
    assert read == [str(path) for path in paths]
    sizes.clear()
    parts = list(predictor.predict(paths, batch_size=5, views=settings.Views(clips=4, crops=3)))
    assert sizes == [5] * 7 + [1]
    for one, other in zip(whole, parts):
        np.testing.assert_allclose(in_order(one), in_order(other), atol=1e-6)


def test_unreadable_videos_are_named_and_the_others_predicted(exported, folder, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"\0no video\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    good = folder / "val" / "walk" / "2.mp4"
    words = ("predict", exported, tmp_path / "bad.mp4", good, tmp_path / "empty.mp4", "--test-clips", 2)
    code, said, problems = call(capsys, *words)
    assert code == 1
    assert said.startswith(f"{good}: ")
    assert said.count("\n") == 1
    assert problems.splitlines()[1] == f"{tmp_path}/empty.mp4: empty file"
    assert problems.splitlines()[0].startswith(f"{tmp_path}/bad.mp4: ")
    code, said, _ = call(capsys, *words, "--json", "--top", 1)
    assert [bool(entry["problem"]) for entry in json.loads(said)] == [True, False, True]
    assert len(json.loads(said)[1]["classes"]) == 1
    assert (code, call(capsys, *words, "--csv")[1].count("\n")) == (1, 1 + 2 + 3)


@pytest.fixture(scope="module")
def for_images(tmp_path_factory):
    prefix, net = tmp_path_factory.mktemp("images") / "model", a2.get_model("resnet20_small", classes=2)
    net.initialize()
    export_network(net, prefix, Description("resnet20_small", ("cat", "dog"), Preprocessing(16)))
    return prefix


def test_the_wrong_kind_of_files_is_one_line(exported, for_images, folder, capsys, tmp_path):
    video, image = folder / "val" / "walk" / "2.mp4", folder / "val" / "stand" / "frames" / "img_3.png"
    said = error(capsys, 2, "predict", for_images, video)
    assert f"{video} is a video, {for_images} takes images: name images, or a network for clips" in said
    said = error(capsys, 2, "predict", exported, image)
    assert f"{image} is an image, {exported} takes videos: name video files or folders of frames" in said
    assert "--test-clips is for videos" in error(capsys, 2, "predict", for_images, image, "--test-clips", 2)
    assert f"{tmp_path}: holds no video" in error(capsys, 2, "predict", exported, tmp_path)
    assert f"{folder}/val/run: holds no image" in error(capsys, 2, "predict", for_images, folder / "val" / "run")
    words = ("export", NETWORK, "--output", tmp_path / "model", "--files", video, image)
    assert f"{image} is an image, {NETWORK} takes videos" in error(capsys, 2, *words)
    words = ("export", "resnet20_small", "--output", tmp_path / "model", "--files", video)
    assert f"{video} is a video, resnet20_small takes images" in error(capsys, 2, *words)
    assert [*tmp_path.iterdir()] == []


def test_videos_of_folders_and_patterns(folder, tmp_path):
    everything = find_videos([folder])
    assert [path.relative_to(folder / "val").as_posix() for path in everything] == [
        "run/0.mp4",
        "run/1.mp4",
        "stand/frames",
        "walk/2.mp4",
    ]
    assert find_videos([folder / "val" / "stand" / "frames"]) == [everything[2]]
    assert find_videos([f"{folder}/val/*/*"]) == everything
    assert find_videos([f"{folder}/**/*.mp4"]) == [*everything[:2], everything[3]]
    with pytest.raises(UsageError, match="img_\\*.png: holds no video"):
        find_videos([f"{folder}/val/stand/frames/img_*.png"])
    with pytest.raises(UsageError, match="absent.mp4: no such file, folder or match"):
        find_videos([tmp_path / "absent.mp4"])
    write_video(tmp_path / "a.MP4", moving_frames(4, 16, 16), container={"movflags": "faststart"})
    (tmp_path / "cover.jpg").write_bytes(b"")  # beside videos it is no frame
    assert find_videos([tmp_path]) == [tmp_path / "a.MP4"]


# Export


@pytest.mark.parametrize("pixels", [False, True])
def test_an_export_is_compared_on_videos_and_on_frames(net, description, folder, tmp_path, pixels):
    clips = find_videos([folder])
    frames = sorted((folder / "val" / "stand" / "frames").glob("*.png"))
    for files, count in ((clips, 4), (frames, 2), ([], 4)):
        proofs = export_network(net, tmp_path / "model", description, EQUAL, files, pixels=pixels)
        assert {proof.images for proof in proofs.values()} == {count}
        assert max(proof.difference for proof in proofs.values()) <= 1e-4
    with pytest.raises(UsageError, match="3 images are no clip of 4 frames: give more, or videos"):
        export_network(net, tmp_path / "model", description, files=frames[:3])


def test_a_graph_that_takes_pixels_normalizes_clips_itself(net, description, exported, folder, tmp_path):
    export_network(net, tmp_path / "model", description, EQUAL, pixels=True)
    rng = np.random.default_rng(0)
    for shape in ((3, 4, 16, 16, 3), (1, 6, 20, 24, 3)):  # another length and size than that of the export
        pixels = rng.integers(0, 256, shape, np.uint8)
        normalized = ((pixels - np.array([124.0, 117.0, 104.0])) * 0.0167).transpose(0, 4, 1, 2, 3)
        expected = net(mx.nd.array(normalized)).asnumpy()
        for form in EQUAL:
            found = load_form(tmp_path / "model", form)(pixels)
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    paths = find_videos([folder])
    for one, other in zip(Predictor(tmp_path / "model").predict(paths), Predictor(exported).predict(paths)):
        np.testing.assert_allclose(in_order(one), in_order(other), atol=1e-6)
    if "onnx" in EQUAL:
        import onnx

        (given,) = onnx.load(str(tmp_path / "model.onnx")).graph.input
        lengths = [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim]
        assert lengths == ["N", "frames", "height", "width", 3]


def test_8_bits_need_enough_clips(net, description, folder, tmp_path):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
    frames = sorted((folder / "val" / "stand" / "frames").glob("*.png"))
    for calibration, count in ((find_videos([folder]), 4), (4 * frames, 11)):
        with pytest.raises(UsageError, match=f"{count} clips for calibration; give at least 20"):
            export_network(net, tmp_path / "model", description, ["int8"], calibration=calibration)


@pytest.mark.slow
def test_8_bits_of_the_shipped_network_keep_the_class_of_clips(tmp_path):
    """Calibrated on clips of the training digits, compared on those of other writers."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
    digits = a2.data.moving_digits_dataset(a2.data.Sampling(8, 1))
    for number in range(120):
        folder = tmp_path / "digits" / f"{number:03d}"
        folder.mkdir(parents=True)
        for place, frame in enumerate(digits.training.read(number)):
            cv2.imwrite(str(folder / f"{place}.png"), frame)
    wanted = settings.Export(
        settings.Network(NETWORK), pretrained=True, output=tmp_path / "model", int8=[tmp_path / "digits"], pixels=True
    )
    proofs = a2.export(wanted)
    assert proofs["int8"].images == 60  # the other half calibrates
    assert 1e-3 < proofs["int8"].difference < 0.3
    validation = digits.validation
    clips = np.stack([validation.read(number) for number in range(len(validation.names))])
    answers = [in_batches(load_form(tmp_path / "model", form), clips).argmax(1) for form in ("symbol", "int8")]
    assert len(clips) == 360
    assert (answers[0] == validation.labels).mean() >= 0.99
    assert (answers[0] == answers[1]).mean() >= 0.99
