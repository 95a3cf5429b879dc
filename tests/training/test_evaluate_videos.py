"""Evaluation of videos as the command does it: scores, processes, unreadable videos, splits."""

import csv
import dataclasses
import json
import sys

import mxnet as mx
import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.data import Preprocessing, SampleSource, Sampling, VideoSamples, ViewSamples
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks.description import Description
from a2net_gluon.options import parse_evaluation
from a2net_gluon.training import evaluation, sources
from a2net_gluon.training.validation import evaluate_batches
from tests.helpers.commands import call, error
from tests.helpers.jobs import Job
from tests.helpers.made_videos import CLASSES, MadeVideo, made_dataset, plain_metrics

NETWORK, COUNT = "a2net_resnet20_small_3d", 11
PREPROCESSING = Preprocessing(12, 0.8, frames=2, stride=3)


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    """The parameter file of a network that starts at random, with its description."""
    mx.random.seed(2)
    folder, net = tmp_path_factory.mktemp("run"), a2.get_model(NETWORK, classes=len(CLASSES))
    net.initialize(mx.init.MSRAPrelu())
    net.save_parameters(str(folder / "best.params"))
    Description(NETWORK, CLASSES, PREPROCESSING).save(folder / "model.json")
    return folder / "best.params"


def made_videos(sampling, count=COUNT, damaged=()):
    """Videos of two classes of different sizes; names and one of the classes have what a file must not hold."""
    videos = [MadeVideo(n, 5 + 3 * n, 16 + n, 26 - n, n in damaged) for n in range(count)]
    return VideoSamples([f"video, {n}\n" for n in range(count)], [4 * (n > 2) for n in range(count)], videos, sampling)


@pytest.fixture
def data(monkeypatch):
    """Return a function that puts made videos in the place of the embedded ones."""

    def put(split=None, training=0, **options):
        def dataset(sampling, with_training=True):
            train = made_videos(sampling, training) if with_training else None
            return made_dataset(made_videos(sampling, **options), train, split)

        monkeypatch.setattr(sources, "moving_digits_dataset", dataset)

    return put


def measure(params, views=settings.Views(), on_skip=None, **more):  # noqa: B008  (immutable)
    options = {"data": settings.MovingDigits(), "workers": 1, "batch_size": 8, "views": views, **more}
    return a2.evaluate(settings.Evaluation(settings.Network(NETWORK), params, **options), on_skip=on_skip)


def read(path):
    """Header, and the rows by their columns."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def recomputed(path):
    """Metrics of the videos in a file of scores, in plain float64."""
    _, rows = read(path)
    videos = {}
    for row in rows:
        videos.setdefault(int(row[0]), []).append(row)
    clip, video, labels = [], [], []
    for views in videos.values():
        (central,) = [view for view in views if view[6] == "1"]
        clip.append(np.float64(central[8:]))
        video.append(np.mean([np.float64(view[8:]) for view in views if view[7] == "1"], axis=0))
        labels.append(int(views[0][2]))
    return plain_metrics(np.array(clip), np.array(video), np.array(labels))


@pytest.mark.parametrize("name", ["centre", "author", "three-crop", "three-crop-256", "ucf"])
def test_metrics_are_those_of_the_scores(name, params, data, tmp_path):
    data()
    small = {"clips": 4} if name != "centre" else {}
    given = settings.Input(size=16) if name == "three-crop-256" else settings.Input()  # the size only is given
    views = settings.Views(name, **small)
    result = measure(params, views, scores=tmp_path / "scores.csv", input=given)
    assert result.metrics == pytest.approx(recomputed(tmp_path / "scores.csv"), rel=1e-9)
    assert (result.count, result.total, result.incomplete) == (COUNT, COUNT, 0)
    header, rows = read(tmp_path / "scores.csv")
    assert header == ["number", "video", "label", "clip", "crop", "frames", "central", "counts", *CLASSES]
    assert len(rows) == COUNT * {"centre": 1, "author": 21, "three-crop": 13, "three-crop-256": 13, "ucf": 5}[name]
    assert rows[0][1] == "video, 0\\n"
    assert result.views == {"centre": (1, 1), "author": (4, 5), "ucf": (4, 1)}.get(name, (4, 3))
    for row in rows:
        assert sum(map(float, row[8:])) == pytest.approx(1, abs=1e-12)


def test_scores_tell_the_frames_of_a_clip(params, data, tmp_path):
    data()
    measure(params, settings.Views(clips=4), scores=tmp_path / "scores.csv")
    for row in read(tmp_path / "scores.csv")[1]:
        last = 5 + 3 * int(row[0]) - 1 - PREPROCESSING.stride  # the last frame at which a clip of two can start
        start = round(last / 2 if row[3] == "" else int(row[3]) * last / 3)
        assert row[5] == f"{start} {start + PREPROCESSING.stride}"


def test_the_centre_is_what_training_validates(params, data):
    """One view is the centre clip of `VideoSamples`; accuracy is the same number, and so is that of more views."""
    data()
    net = a2.get_model(NETWORK, classes=len(CLASSES))
    net.load_parameters(str(params))
    samples = made_videos(Sampling(PREPROCESSING.frames, PREPROCESSING.stride))
    source = SampleSource(made_dataset(samples), PREPROCESSING, None, 8, 0, 0)
    expected = evaluate_batches(net, source.validation(), [mx.cpu()], PREPROCESSING, len(CLASSES))
    for views in (settings.Views(), settings.Views("three-crop", clips=2), settings.Views("ucf", clips=2)):
        result = measure(params, views)
        assert result.metrics["clip_top1"] == expected.metrics["top1"]
        assert result.metrics["clip_loss"] == pytest.approx(expected.metrics["loss"], rel=1e-5)
    alone = measure(params).metrics
    assert (alone["video_top1"], alone["video_top5"]) == (expected.metrics["top1"], expected.metrics["top5"])


def test_batches_and_devices_change_nothing(params, data, tmp_path):
    data()
    files = []
    for number, options in enumerate(
        ({"batch_size": 8}, {"batch_size": 1}, {"batch_size": 4, "devices": settings.Devices(cpu_contexts=2)})
    ):
        files.append(tmp_path / f"{number}.csv")
        measure(params, settings.Views("three-crop", clips=3), scores=files[-1], **options)
    first, *others = (np.array([row[8:] for row in read(file)[1]], float) for file in files)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-6)


class OneOf(Communicator):
    """Process `rank` of several that run one after the other, the first one last."""

    def __init__(self, rank, size, sums):
        super().__init__()
        self.rank, self.size, self._sums = rank, size, sums

    def sum(self, values):
        self._sums.append(values)
        return np.sum(self._sums, axis=0).tolist()

    def wait(self):
        pass


@pytest.mark.parametrize("size", [2, 3, COUNT + 1])
def test_processes_measure_what_one_measures(size, params, data, tmp_path, monkeypatch):
    data(damaged=(4,))
    views = settings.Views("author", clips=2, crops=2)
    alone = measure(params, views, scores=tmp_path / "alone.csv")
    sums = []
    for rank in (*range(1, size), 0):
        one = OneOf(rank, size, sums)
        monkeypatch.setattr(evaluation, "make_communicator", lambda kind, contexts, one=one: one)
        together = measure(params, views, scores=tmp_path / "together.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.csv", "together.csv"]
    assert (together.count, together.total, together.rank) == (COUNT - 1, COUNT, 0)
    assert together.metrics == pytest.approx(alone.metrics, rel=1e-5)
    assert {name: value for name, value in together.metrics.items() if name != "clip_loss"} == {
        name: value for name, value in alone.metrics.items() if name != "clip_loss"
    }
    (_, rows), (_, expected) = (read(tmp_path / name) for name in ("together.csv", "alone.csv"))
    assert [row[:8] for row in rows] == [row[:8] for row in expected]
    np.testing.assert_allclose(*(np.array([row[8:] for row in one], float) for one in (rows, expected)), rtol=1e-4)


def test_scores_of_a_process_that_are_elsewhere_are_missed(params, data, tmp_path, monkeypatch):
    data()
    monkeypatch.setattr(evaluation, "make_communicator", lambda kind, contexts: OneOf(0, 2, []))
    with pytest.raises(FailureError, match=r"part-1: not here; name a file with --scores in a folder that all"):
        measure(params, scores=tmp_path / "scores.csv")
    assert not [*tmp_path.iterdir()]


def test_unreadable_videos_are_counted_out(params, data, tmp_path, capsys):
    data(damaged=(2, 7))
    skipped = {}
    views = settings.Views("three-crop", clips=2)
    result = measure(params, views, scores=tmp_path / "scores.csv", on_skip=skipped.__setitem__)
    assert skipped == {"video, 2\n": "damaged", "video, 7\n": "damaged"}
    assert (result.count, result.total, result.incomplete) == (COUNT - 2, COUNT, 0)
    assert {row[0] for row in read(tmp_path / "scores.csv")[1]} == {str(n) for n in range(COUNT) if n not in (2, 7)}
    assert result.metrics == pytest.approx(recomputed(tmp_path / "scores.csv"), rel=1e-9)
    code, said, _ = call(capsys, "evaluate", NETWORK, "--params", params, "-j", 1, "--test-clips", 2)
    assert code == 0
    assert said.endswith("on 9 of 11 videos, 2 unreadable, 2 × 1 views of each\n")
    assert "skipped video, 2\\n: damaged" in said
    assert "2 unreadable clips were skipped" in said


def test_incomplete_videos_are_named_and_counted_out(params, data, tmp_path, monkeypatch):
    data(damaged=(2,))
    read_whole = ViewSamples.read

    def read_some(self, number, rng=None):
        if number == 3 * len(self.rows) + 4:
            raise DecodeError("gone")
        return read_whole(self, number, rng)

    monkeypatch.setattr(ViewSamples, "read", read_some)
    said = []
    views = settings.Views("three-crop", clips=2)
    result = measure(params, views, scores=tmp_path / "s.csv", on_skip=lambda *words: said.append(words))
    assert [words for words in said if words[0] == "video, 3\n"] == [
        ("video, 3\n", "gone"),
        ("video, 3\n", "only 6 of 7 views could be read: it does not count"),
    ]
    assert (result.count, result.incomplete) == (COUNT - 2, 1)
    assert result.samples_in_words("clips") == "9 of 11 videos, 1 unreadable, 1 incomplete, 2 × 3 views of each"
    assert {row[0] for row in read(tmp_path / "s.csv")[1]} == {str(n) for n in range(COUNT) if n not in (2, 3)}


def test_no_readable_video_is_a_failure_and_leaves_no_file(params, data, tmp_path):
    data(damaged=range(COUNT))
    with pytest.raises(FailureError, match="not a single"):
        measure(params, scores=tmp_path / "scores.csv")
    assert not [*tmp_path.iterdir()]


# Settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a2net_resnet20_small", "--test-clips", 2), "--test-clips is for videos, the data are images: omit it"),
        (("a2net_resnet20_small", "--test-views", "ucf"), "--test-views is for videos, the data are images: omit it"),
        (("a2net_resnet20_small", "--scores", "x.csv"), "--scores is for videos, the data are images: omit it"),
        ((NETWORK, "--benchmark", "--test-crops", 3), "--test-crops is for videos, the data are samples: omit it"),
        (
            ("resnet20_small", "--frame-order", "shuffled"),
            "--frame-order is shuffled, resnet20_small takes images: omit it",
        ),
        ((NETWORK, "--test-clips", 101), "101 is not a whole number from 1 to 100"),
        ((NETWORK, "--test-crops", 0), "0 is not a whole number from 1 to 100"),
        ((NETWORK, "--test-views", "dense"), "invalid choice: 'dense'"),
        ((NETWORK, "--kv-store", "dist_sync"), "start them with a2net launch"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, params, capsys, monkeypatch):
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    assert message in error(capsys, 2, "evaluate", *arguments, "--params", params)


def test_flags_take_precedence_over_a_protocol():
    def resolved(*words):
        parsed = parse_evaluation([NETWORK, "--params", "x", *words]).resolved()
        return (parsed.views.clips, parsed.views.crops), parsed.input.size, parsed.input.crop_ratio

    assert resolved() == ((1, 1), None, None)
    assert resolved("--test-views", "author") == ((10, 5), None, None)
    assert resolved("--test-views", "author", "--test-clips", "3") == ((3, 5), None, None)
    assert resolved("--test-clips", "3", "--test-crops", "5") == ((3, 5), None, None)
    assert resolved("--test-views", "three-crop") == ((10, 3), None, None)
    assert resolved("--test-views", "three-crop-256") == ((10, 3), 256, 1.0)
    assert resolved("--test-views", "three-crop-256", "--input-size", "64", "--crop-ratio", "0.5") == ((10, 3), 64, 0.5)
    assert resolved("--test-views", "ucf") == ((40, 1), None, None)


def test_scores_that_cannot_be_written_are_told_before_anything_is_read(params, data, tmp_path, monkeypatch):
    data()
    monkeypatch.setattr(MadeVideo, "read", None)
    with pytest.raises(FailureError, match=r"scores.csv: cannot be written \(No such file or directory\)"):
        measure(params, scores=tmp_path / "absent" / "scores.csv")


# Splits


def with_split(params, folder, split):
    """The same network, trained on a split."""
    folder.mkdir()
    (folder / "best.params").write_bytes(params.read_bytes())
    description = Description.load(params.with_name("model.json"))
    dataclasses.replace(description, trained_on=split).save(folder / "model.json")
    return folder / "best.params"


@pytest.mark.parametrize(
    ("trained", "tested", "refused"),
    [
        ("ucf101/1", "ucf101/2", True),
        ("ucf101/3", "ucf101/1", True),
        ("ucf101/1", "ucf101/1", False),
        ("kinetics/1", "ucf101/2", False),
        (None, "ucf101/2", False),
        ("ucf101/1", None, False),
    ],
)
def test_a_network_is_not_tested_on_what_it_was_trained_on(trained, tested, refused, params, data, tmp_path):
    data(split=tested)
    params = with_split(params, tmp_path / "run", trained)
    if not refused:
        assert measure(params).count == COUNT
        return
    with pytest.raises(UsageError) as raised:
        measure(params)
    dataset, before = trained.split("/")
    assert str(raised.value) == (
        f"{params} was trained on {dataset} split {before}, these are the test videos of split {tested[-1]}: it was "
        f"trained on some of them; evaluate it on split {before}"
    )


def test_training_and_export_keep_the_split_and_the_order_of_frames(data, tmp_path, capsys):
    data(split="ucf101/2", training=8)
    training = settings.Training(
        data=settings.MovingDigits(),
        network=settings.Network(NETWORK),
        input=settings.Input(size=12, frames=4, order="shuffled"),
        epochs=1,
        batch_size=8,
        workers=1,
        save_dir=tmp_path / "run",
    )
    run = a2.train(training)
    folder = run.folder
    assert json.loads((folder / "model.json").read_text())["trained_on"] == "ucf101/2"
    words = ("evaluate", NETWORK, "--params", folder / "best.params", "-j", 1, "--test-clips", 3)
    code, said, _ = call(capsys, *words, "--scores", tmp_path / "scores.csv")
    assert code == 0
    assert f"clip@1 {100 * run.best['val_top1']:.1f} %, " in said
    assert said.endswith("3 × 1 views of each, frames shuffled\n")
    shown = [[int(number) for number in row[5].split()] for row in read(tmp_path / "scores.csv")[1]]
    assert any(frames != sorted(frames) for frames in shown)
    code, said, _ = call(capsys, *words, "--frame-order", "forward")
    assert said.endswith("3 × 1 views of each\n")
    a2.export(settings.Export(settings.Network(NETWORK), folder / "best.params", output=tmp_path / "out" / "model"))
    exported = Description.load(tmp_path / "out" / "model.json")
    assert (exported.trained_on, exported.preprocessing.order) == ("ucf101/2", "shuffled")


def test_a_description_without_a_split_is_that_of_before(params, tmp_path):
    assert "trained_on" not in json.loads(params.with_name("model.json").read_text())
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(params.with_name("model.json").read_text()), "trained_on": 1}))
    with pytest.raises(FailureError, match="not a description of a network .trained_on is 1"):
        Description.load(path)


@pytest.mark.slow
def test_two_launched_processes_write_what_one_writes(params, tmp_path, capsys):
    words = ("evaluate", NETWORK, "--params", params, "--test-views", "author", "--test-clips", 1, "--test-crops", 2)
    words = (*words, "-j", 1, "--batch-size", 64)
    code, alone, _ = call(capsys, *words, "--scores", tmp_path / "alone.csv")
    assert code == 0
    own = ("-n", 2, "-s", 1, "--log-dir", tmp_path / "logs")
    start = (sys.executable, "-m", "a2net_gluon")
    job = Job(*start, "launch", *own, "--", *start, *words, "--scores", tmp_path / "two.csv", "--kv-store", "dist_sync")
    code, said = job.end()
    assert code == 0, said
    assert said.count("360 of 360 videos, 1 × 2 views of each") == 1
    assert alone.strip() in said
    (_, rows), (_, expected) = (read(tmp_path / name) for name in ("two.csv", "alone.csv"))
    assert [row[:8] for row in rows] == [row[:8] for row in expected]
    np.testing.assert_allclose(*(np.array([row[8:] for row in one], float) for one in (rows, expected)), rtol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.csv", "logs", "two.csv"]
    assert job.left() == []
