"""Lists of videos: every form, written here, is recognised and leads to the files that are there."""

import itertools
import os
import re

import numpy as np
import pytest

from a2net_gluon.data.video_files import VIDEO_SUFFIXES, frame_files
from a2net_gluon.data.video_lists import (
    VideoList,
    check_groups_apart,
    check_same_classes,
    folder_videos,
    groups,
    read_list,
    ucf101_split,
)
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.terminal import printable
from tests.fuzz.mutations import mutated, pick
from tests.helpers.processes import ROOT

UCF = ("Archery/v_Archery_g01_c01.avi", "Archery/v_Archery_g08_c02.avi")
UCF += ("HandstandPushups/v_HandStandPushups_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g09_c04.avi")
CLASS_FILE = "1 Archery\n2 HandstandPushups\n3 YoYo\n"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


@pytest.fixture
def listed(monkeypatch):
    """The folders that are listed from now on."""
    folders, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: folders.append(str(folder)) or scandir(folder))
    return folders


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def frames(root, *names):
    touch(root, *(f"{name}/img_{number:05d}.jpg" for name in names for number in (1, 2)))


def write(root, text, name="list.txt"):
    path = root.parent / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(root, text, name="list.txt", **more):
    return read_list(write(root, text, name), root, **more)


def pairs(videos, root):
    """Path below `root` and label of each video."""
    return [(os.path.relpath(path, root), label) for path, label in zip(videos.paths, videos.labels)]


# Each form: its words, and how an entry of it is written.
FORMS = {
    "two columns: path label": "{path} {label}",
    "two columns: path label, separated by tabs": "{path}\t{label}",
    "two columns: path label, separated by commas": "{path}, {label}",
    "three columns: path frames label": "{path} {frames} {label}",
    "three columns: path frames label, separated by commas": "{path},{frames},{label}",
    "three columns: number label path": "{number} {label} {path}",
    "three columns: number label path, separated by tabs": "{number}\t{label}\t{path}",
}
WORDS = ("a", "clip", "b c", "7", "2", "x,y", "#", "café", "it's", "0 1", "'q'", "100%", "\u2028", "(not cat)")


@pytest.mark.parametrize("form", FORMS)
def test_random_lists(form, tmp_path):
    """Odd names, blank lines, comments, the ends of lines and the mark of other systems change nothing."""
    rng = np.random.default_rng(len(form))
    for turn in range(40):
        root = tmp_path / str(turn) / "videos"
        count = int(rng.integers(1, 9))
        names = {" ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in range(count)}
        names = [f"v{name}" if name.startswith("#") else name for name in sorted(names)]
        folders = rng.choice(["", "x/", "y z/", "y z/3/"], len(names))
        paths = [f"{folder}{name}{rng.choice(VIDEO_SUFFIXES)}" for folder, name in zip(folders, names)]
        labels = rng.integers(0, 12, len(paths)).tolist()
        touch(root, *paths)
        lines = [
            FORMS[form].format(path=path, label=label, frames=rng.integers(1, 400), number=number)
            for number, (path, label) in enumerate(zip(paths, labels))
        ]
        for place in sorted(rng.integers(0, len(lines) + 1, 3), reverse=True):
            lines.insert(place, str(rng.choice(["", "  ", "# comment 1", "#"])))
        text = str(rng.choice(["\n", "\r\n"])).join(lines)
        found = read(root, str(rng.choice(["", "\ufeff"])) + text + str(rng.choice(["", "\n"])))
        assert pairs(found, root) == [*zip(paths, labels)], text
        assert found.format.startswith(form.split(", sep")[0])
        assert found.classes == tuple(str(number) for number in range(max(labels) + 1))
        assert found.split is None
        assert found.missing == ()


def test_endings_that_the_list_leaves_out(root):
    touch(root, *(f"v{number}{ending}" for number, ending in enumerate(VIDEO_SUFFIXES)), "both.mp4", "both.avi")
    frames(root, "folder", "v.1")
    entries = [f"v{number}" for number in range(len(VIDEO_SUFFIXES))] + ["both", "folder", "./folder/", "v.1"]
    found = read(root, "\n".join(f"{entry} 0" for entry in entries))
    expected = [f"v{number}{ending}" for number, ending in enumerate(VIDEO_SUFFIXES)]
    assert pairs(found, root) == [(name, 0) for name in [*expected, "both.mp4", "folder", "folder", "v.1"]]


def test_a_number_that_belongs_to_the_path(root):
    """What is there decides: the same lines are of two columns or of three."""
    text = "clip 1 0\nclip 2 1\nintro 1\n"
    touch(root, "clip 1.mp4", "clip 2.avi", "intro.mp4", "clip")
    assert pairs(read(root, text), root) == [("clip 1.mp4", 0), ("clip 2.avi", 1), ("intro.mp4", 1)]
    (root / "clip 1.mp4").unlink()
    (root / "clip 2.avi").unlink()
    with pytest.raises(UsageError, match=r"line 3: 'intro 1' has two columns: .*; the lines before have three columns"):
        read(root, text)
    touch(root, "2019 07 party.mp4", "party.mp4")
    assert pairs(read(root, "2019 07 party.mp4 3"), root) == [("2019 07 party.mp4", 3)]
    assert pairs(read(root, "2019 07 party.mp4"), root) == [("party.mp4", 7)]


def test_number_of_frames(root):
    frames(root, "a/one", "a/two")
    touch(root, "a/three.mp4", "a/four.avi")
    found = read(root, "a/one 2 0\na/two 30 1\n")
    assert (found.frames, found.format) == ((2, 30), "three columns: path frames label")
    assert pairs(found, root) == [("a/one", 0), ("a/two", 1)]
    videos = read(root, "a/three 2 0\na/four 30 1\n")  # GluonCV: what names videos without an ending
    assert (videos.frames, videos.format) == (
        None,
        "three columns: path frames label, of video files: the frames are not used",
    )
    assert pairs(videos, root) == [("a/three.mp4", 0), ("a/four.avi", 1)]
    assert read(root, "a/one 0\na/two 1\n").frames is None


def test_names_of_classes(root):
    touch(root, "a b.mp4", "c.mp4", "d.mp4")
    known = ("cat", "big cat", "dog")
    text = "a b.mp4 big cat\nc.mp4\tdog\nd.mp4, cat\n"
    expected = [("a b.mp4", 1), ("c.mp4", 2), ("d.mp4", 0)]
    found = read(root, text, classes=known)
    assert (pairs(found, root), found.classes) == (expected, known)
    assert found.format == "two columns: path, name of the class"
    names = write(root, "# in order\ncat\nbig cat\r\ndog\n", "names.txt")
    assert read(root, text, label_names=names) == found
    with pytest.raises(UsageError, match=r"line 1: 'a b.mp4 big cat' is not an entry; .* a number from 0$"):
        read(root, text)
    with pytest.raises(UsageError, match=r"line 2: .* a number from 0 or one of the 3 classes$"):
        read(root, "c.mp4 dog\nd.mp4 emu\n", classes=known)


@pytest.mark.parametrize("text", ["cat\ndog\nemu\n", "1 cat\n2 dog\n3 emu\n", "2 emu\n0 cat\n1 dog\n"])
def test_names_of_numbers(text, root):
    touch(root, "a.mp4", "b.mp4")
    names = write(root, text, "names.txt")
    found = read(root, "a.mp4 2\nb.mp4 0\n", label_names=names)
    assert (found.labels, found.classes) == ((2, 0), ("cat", "dog", "emu"))
    # The network's order is another one.
    found = read(root, "a.mp4 2\nb.mp4 0\n", label_names=names, classes=("emu", "dog", "cat"))
    assert (found.labels, found.classes) == ((0, 2), ("emu", "dog", "cat"))
    with pytest.raises(UsageError, match=r"line 1: class 'emu' is not among the 2 classes"):
        read(root, "a.mp4 2\n", label_names=names, classes=("dog", "cat"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\ndog\ncat\n", "class 'cat' is there twice"),
        ("1 cat\n3 dog\n", "the numbers of the classes must be 1, 2, 3, … or 0, 1, 2, …, each once"),
        ("1 cat\n1 dog\n", "the numbers of the classes must be"),
        ("2 cat\n3 dog\n", "the numbers of the classes must be"),
        ("", "lists nothing"),
    ],
)
def test_files_of_names_that_are_wrong(text, message, root):
    with pytest.raises(UsageError, match=f"^{re.escape(str(root.parent))}/names.txt: {message}"):
        read(root, "a.mp4 1\n", label_names=write(root, text, "names.txt"))


def test_lines_of_the_documentation(root):
    """Each line in the table of docs/videos.md is of the form that the table names."""
    page = (ROOT / "docs" / "videos.md").read_text(encoding="utf-8").split("### List files")[1]
    rows = re.findall(r"^\| .* \| `([^`]+)` \| `([^`]+)` \|$", page, re.MULTILINE)
    assert len(rows) == 8
    touch(root, "archery/shot 1.mp4", "archery/shot 1.avi", "archery/abcdefghijk_000009_000019.mp4")
    touch(root, "Archery/v_Archery_g08_c01.avi", "Archery/v_Archery_g01_c01.avi")
    frames(root, "archery/shot_1")
    write(root, "1 Archery\n", "classInd.txt")
    for line, form in rows:
        header = f"{','.join(COLUMNS)}\n" if "csv" in form else ""
        found = read(root, header + line, classes=("archery",) if "name" in form else None)
        assert (found.format, found.labels) == (form, (0,)), line


# UCF-101


def official(labels=True):
    numbers = {"Archery": 1, "HandstandPushups": 2}
    return "".join(f"{path} {numbers[path.split('/')[0]]}\n" if labels else f"{path}\n" for path in UCF)


def test_ucf101(root):
    touch(root, *UCF)
    write(root, CLASS_FILE, "classInd.txt")
    expected = [*zip(UCF, (0, 0, 1, 1))]
    for number in "123":
        train = read(root, official(), f"trainlist0{number}.txt")
        test = read(root, official(labels=False), f"testlist0{number}.txt")
        assert pairs(train, root) == pairs(test, root) == expected
        assert train.classes == test.classes == ("Archery", "HandstandPushups", "YoYo")
        assert train.split == test.split == f"ucf101/{number}"
        assert (train.format, test.format) == (
            "UCF-101, two columns: path label, labels from 1",
            "UCF-101's test list: path without a label",
        )
    # They are recognised by what they hold, and only the number of the split is the name's.
    assert read(root, official(), "mine.txt").split is None
    assert pairs(read(root, official(), "mine.txt"), root) == expected


@pytest.mark.parametrize("form", ["{path} {label}", "{path} 90 {label}", "17 {label} {path}"])
def test_lists_of_ucf101_by_others_count_from_0(form, root):
    """Of mmaction, GluonCV and the first author."""
    touch(root, *UCF)
    text = "\n".join(form.format(path=path, label=int(path.startswith("H"))) for path in UCF)
    found = read(root, text, "ucf101_val_split_2_videos.txt")
    assert pairs(found, root) == [*zip(UCF, (0, 0, 1, 1))]
    assert (found.classes, found.split) == (("Archery", "HandstandPushups"), "ucf101/2")
    write(root, CLASS_FILE, "classInd.txt")
    assert read(root, text).classes == ("Archery", "HandstandPushups", "YoYo")
    assert read(root, text).labels == (0, 0, 1, 1)


def test_ucf101_in_part(root):
    """Labels are the numbers of the classes, whichever are there."""
    touch(root, *UCF)
    last = f"{UCF[2]} 2\n{UCF[3]} 2\n"
    write(root, CLASS_FILE, "classInd.txt")
    assert read(root, last).labels == (1, 1)
    assert read(root, last.replace(" 2", " 1")).labels == (1, 1)  # counted from 0
    (root.parent / "classInd.txt").unlink()
    whole = read(root, official())
    assert (whole.labels, whole.classes) == ((0, 0, 1, 1), ("Archery", "HandstandPushups"))
    assert read(root, last).classes == ("0", "1", "HandstandPushups")
    classes = ("HandstandPushups", "Archery")
    assert read(root, official(), classes=classes).labels == (1, 1, 0, 0)  # by name
    assert read(root, official(labels=False), classes=classes).labels == (1, 1, 0, 0)
    with pytest.raises(UsageError, match=r"line 3: class 'HandstandPushups' is not among the 1 classes"):
        read(root, official(), classes=("Archery",))


def test_ucf101_with_labels_of_the_users_own(root):
    touch(root, *UCF)
    write(root, CLASS_FILE, "classInd.txt")
    found = read(root, "\n".join(f"{path} {label}" for path, label in zip(UCF, (0, 1, 1, 2))))
    assert (found.labels, found.classes) == ((0, 1, 1, 2), ("0", "1", "2"))


def test_ucf101_whose_files_contradict_each_other(root):
    touch(root, *UCF)
    with pytest.raises(UsageError, match=r"testlist01.txt: has no labels; put classInd.txt of UCF-101 beside it"):
        read(root, official(labels=False), "testlist01.txt")
    write(root, "1 HandstandPushups\n2 Archery\n", "classInd.txt")
    with pytest.raises(UsageError, match="its labels are not the numbers of the classes in classInd.txt"):
        read(root, official())
    write(root, "1 Archery\n2 YoYo\n", "classInd.txt")
    with pytest.raises(UsageError, match=r"line 3: class 'HandstandPushups' is not among the 2 classes"):
        read(root, official(labels=False))


@pytest.mark.parametrize(("lists", "videos"), [("ucfTrainTestlist", "UCF-101"), ("annotations", "videos"), ("", "")])
def test_splits_of_ucf101(lists, videos, tmp_path):
    train = [path for path in UCF if "_g01_" not in path]
    test = [path for path in UCF if "_g01_" in path]
    touch(tmp_path / videos, *UCF)
    (tmp_path / lists).mkdir(exist_ok=True)
    (tmp_path / lists / "classInd.txt").write_text(CLASS_FILE)
    (tmp_path / lists / "trainlist02.txt").write_text(f"{train[0]} 1\r\n{train[1]} 2\r\n")
    (tmp_path / lists / "testlist02.txt").write_text("\r\n".join(test))
    found = ucf101_split(tmp_path, 2)
    assert [pairs(part, tmp_path / videos) for part in found] == [[*zip(train, (0, 1))], [*zip(test, (0, 1))]]
    assert [part.split for part in found] == ["ucf101/2"] * 2
    check_same_classes(*found)
    with pytest.raises(UsageError, match="trainlist01.txt: no such file"):
        ucf101_split(tmp_path, 1)
    with pytest.raises(UsageError, match="split 4 of UCF-101 does not exist; it has 1, 2 and 3"):
        ucf101_split(tmp_path, 4)
    (tmp_path / lists / "testlist02.txt").write_text(UCF[1])
    with pytest.raises(UsageError, match="group v_Archery_g08 of UCF-101 is both in training"):
        ucf101_split(tmp_path, 2)
    (tmp_path / lists / "classInd.txt").unlink()
    with pytest.raises(UsageError, match="classInd.txt: no such file"):
        ucf101_split(tmp_path, 2)


def test_groups():
    assert groups(["/x/Archery/v_Archery_g01_c01.avi", "v_Archery_g25_c01", "v_A_g1_c01.avi", "x/abc.mp4"]) == [
        *("v_Archery_g01", "v_Archery_g25", None, None)
    ]
    train, test = (
        VideoList(tuple(f"{folder}/v_{name}_g{group:02d}_c01.avi" for name, group in of), (), (), "")
        for folder, of in {"a": [("X", 1), ("Y", 2)], "b": [("X", 2), ("Y", 1), ("Y", 2)]}.items()
    )
    with pytest.raises(UsageError, match=r"^group v_Y_g02 .* \(a/v_Y_g02_c01.avi\) .* \(b/v_Y_g02_c01.avi\)") as raised:
        check_groups_apart(train, test)
    assert "\n" not in str(raised.value)
    check_groups_apart(train, VideoList(test.paths[:2], (), (), ""))  # one number, another class
    check_groups_apart(VideoList(("a.mp4",), (0,), ("0",), ""), VideoList(("a.mp4",), (0,), ("0",), ""))


# Kinetics

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
VIDEOS = (
    {"label": "riding a bike", "youtube_id": "-a_Zbcdefgh", "time_start": "9", "time_end": "19", "split": "val"},
    {"label": "abseiling", "youtube_id": "0wR5jVB-WPk", "time_start": "000417", "time_end": "000427", "split": "val"},
    {"label": "petting, not cat", "youtube_id": "#hash_12345", "time_start": "0", "time_end": "10", "split": "val"},
)
FILES = ("-a_Zbcdefgh_000009_000019", "0wR5jVB-WPk_000417_000427", "#hash_12345_000000_000010")


def kinetics(columns):
    rows = [columns, *([video[column] for column in columns] for video in VIDEOS)]
    return "".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\n" for row in rows)


@pytest.mark.parametrize("folder", ["", "{label}", "{under}", "{split}", "{split}/{label}", "{split}/{under}"])
@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[::-1], (*COLUMNS[2:], *COLUMNS[:2])])
def test_kinetics(folder, columns, root):
    places = [
        os.path.join(folder.format(under=video["label"].replace(" ", "_"), **video), name + ending)
        for video, name, ending in zip(VIDEOS, FILES, (".mp4", ".mkv", ".webm"))
    ]
    touch(root, *places)
    found = read(root, kinetics(columns), "val.csv")
    assert pairs(found, root) == [*zip(places, (2, 0, 1))]
    assert found.classes == ("abseiling", "petting, not cat", "riding a bike")
    assert (found.format, found.missing) == ("Kinetics' csv", ())
    classes = ("riding_a_bike", "yoga", "petting,_not_cat", "abseiling")  # of a network trained on folders
    assert read(root, kinetics(columns), classes=classes).labels == (0, 3, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",".join(COLUMNS[1:]) + "\nabcdefghijk,0,10,test\n", "line 1: has no column 'label'; a list without labels"),
        (",".join(COLUMNS) + "\n", "list.txt: lists nothing below its header"),
        (",".join(COLUMNS) + "\n\nyoga,abc,0,10\n", "line 3: 'yoga,abc,0,10' is not of the form label,youtube_id,"),
        (",".join(COLUMNS) + "\nyoga,abc,0.5,10,val\n", "line 2: time_start '0.5' is not a whole number"),
        (",".join(COLUMNS) + "\nyoga,abc,0,-1,val\n", "line 2: time_end -1 is not a whole number from 0"),
        (",".join(COLUMNS) + "\nyoga,../../abc,0,1,val\n", "line 2: '../../abc' cannot be a label or an identifier"),
        (",".join(COLUMNS) + "\n..,abc,0,1,val\n", "line 2: '..' cannot be a label or an identifier"),
        (",".join(COLUMNS) + "\n/etc,abc,0,1,val\n", "line 2: '/etc' cannot be a label or an identifier"),
        (",".join(COLUMNS) + "\n,abc,0,1,val\n", "line 2: '' cannot be a label or an identifier"),
        (",".join(COLUMNS) + '\n"yoga,abc,0,1,val\n', "line 2: '\"yoga,abc,0,1,val' is not of the form"),
    ],
)
def test_csv_that_is_wrong(text, message, root):
    with pytest.raises(UsageError, match=re.escape(message)):
        read(root, text)


# What is wrong


LINES = {
    "two columns: path label": "a.mp4 1",
    "three columns: path frames label": "a.mp4 30 1",
    "three columns: number label path": "0 1 a.mp4",
    "two columns: path, name of the class": "a.mp4 cat",
    "UCF-101's test list: path without a label": "A/v_A_g01_c01.avi",
}


@pytest.mark.parametrize(("first", "other"), itertools.permutations(LINES, 2))
def test_mixed_forms(first, other, root):
    touch(root, "a.mp4")
    text = f"# comment\n{LINES[first]}\n\n{LINES[first]}\n{LINES[other]}\n{LINES[first]}\n"
    with pytest.raises(UsageError) as raised:
        read(root, text, classes=("dog", "cat"))
    assert str(raised.value) == (
        f"{root.parent}/list.txt, line 5: {LINES[other]!r} has {other}; the lines before have {first}; use one form"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.txt: lists nothing; write one entry on each line"),
        ("\n \n# a.mp4 1\n", "list.txt: lists nothing"),
        ("a.mp4 1\na.mp4\n", "list.txt, line 2: 'a.mp4' is not an entry; write the path and the label"),
        ("path,label\na.mp4,1\n", "list.txt, line 1: 'path,label' is not an entry"),
        ("1\n", "list.txt, line 1: '1' is not an entry"),
        ("a.mp4 -1\n", "list.txt, line 1: label -1 is not a whole number from 0 to 999999"),
        ("a.mp4 1\na.mp4 1.5\n", "list.txt, line 2: label '1.5' is not a whole number"),
        ("a.mp4 1000000\n", "list.txt, line 1: label 1000000 is not a whole number from 0 to 999999"),
        (f"a.mp4 {'9' * 5000}\n", "list.txt, line 1: label '9999"),
        ("a.mp4 30.5 1\n", "list.txt, line 1: number of frames '30.5' is not a whole number"),
        ("a.mp4 -30 1\n", "list.txt, line 1: number of frames -30 is not a whole number"),
        ("a.mp4 1\nb.mp4 0\n./a.mp4 0\n", "/a.mp4 has label 0 here and 1 in line 1; keep one of them"),
        ("a 1\na.mp4 0\n", "/a.mp4 has label 0 here and 1 in line 1; keep one of them"),
        ("a.mp4 1\nc.mp4 1\nc.mp4 2\n", "/c.mp4 has label 2 here and 1 in line 2"),
        ("../videos/a.mp4 1\n", "list.txt, line 1: '../videos/a.mp4' contains '..'; write the path without it"),
        ("a.mp4 1\nb/../a.mp4 1\n", "list.txt, line 2: 'b/../a.mp4' contains '..'"),
        (b"a.mp4 1\ncaf\xe9.mp4 1\n", "list.txt, line 2: is not UTF-8; save the list as UTF-8"),
        ("a.mp4 1\n".encode("utf-16"), "list.txt: is not a list; write a text file in UTF-8"),
        (b"a.mp4 1\nb\0.mp4 1\n", "list.txt: is not a list; write a text file in UTF-8 with one"),
        ("a.mp4 1\n" + "x" * 9000 + " 1\n", "list.txt, line 2: has 9002 characters; an entry has at most 8192"),
        ("z.mp4 1\n", "list.txt: none of its 1 videos is there; it was read as two columns: path label; "),
        (f"{'y' * 300}/{'x' * 300} 1\n", "list.txt: none of its 1 videos is there"),
        ("a.mp4/b.mp4 1\n", "list.txt: none of its 1 videos is there"),
    ],
)
def test_lists_that_are_wrong(text, message, root):
    touch(root, "a.mp4", "b.mp4")
    with pytest.raises(UsageError) as raised:
        read(root, text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1200


@pytest.mark.parametrize("seed", range(3))
def test_mutated_lists(seed, root):
    """Whatever a list holds, the answer is videos below the folder or one line that is not long."""
    rng = np.random.default_rng(seed)
    touch(root, "a.mp4", "x y/b 1.mp4", *UCF)
    write(root, CLASS_FILE, "classInd.txt")
    contents = [kinetics(COLUMNS), official(), official(labels=False), "a.mp4 0\nx y/b 1.mp4 1\n", "a.mp4 30 0\n"]
    words = [b"\r", b"\n", b"../", b"/", b'"', b" 9", b"-1", b"\t", b"#", b"\xef\xbb\xbf", b",", b"1e9"]
    messages = []
    for _ in range(400):
        content = mutated(rng, pick(rng, contents).encode(), words)
        try:
            found = read(root, content, classes=pick(rng, (None, ("Archery", "HandstandPushups"))))
        except UsageError as error:
            messages.append(str(error))
        else:
            assert found.paths
            assert all(path == str(root) or path.startswith(f"{root}/") for path in found.paths), content
            assert len(found.paths) == len(found.labels)
            assert max(found.labels) < len(found.classes)
    assert 0 < len(messages) < 400
    assert all(message.startswith(f"{root.parent}/list.txt") for message in messages)
    assert not any("\n" in message or len(printable(message)) > 10_000 for message in messages)


def test_labels_that_the_network_does_not_have(root):
    touch(root, "a.mp4", "b.mp4")
    assert read(root, "a.mp4 1\nb.mp4 0\n", classes=("cat", "dog")).classes == ("cat", "dog")
    with pytest.raises(UsageError, match=r"line 2: label 2 is not a number from 0 to 1$"):
        read(root, "a.mp4 1\nb.mp4 2\n", classes=("cat", "dog"))


def test_files_that_are_not_there(root):
    with pytest.raises(UsageError, match=r"absent: no such folder; name the folder in which the paths of .* begin"):
        read_list(write(root, "a.mp4 1"), root / "absent")
    for path in (root.parent / "absent.txt", root):
        with pytest.raises(UsageError, match=f"{path}: no such file"):
            read_list(path, root)


def test_missing_videos(root):
    touch(root, "a.mp4", "c.mp4")
    found = read(root, "a.mp4 1\nb.mp4 0\nc.mp4 2\nd/d 2\n")
    assert pairs(found, root) == [("a.mp4", 1), ("c.mp4", 2)]
    assert found.missing == (f"{root}/b.mp4", f"{root}/d/d")
    assert read(root, "a.mp4 1\n").missing == ()


def test_absolute_paths(root):
    """A list is its user's own; what it names by an absolute path is meant."""
    touch(root.parent / "other", "x y.mp4")
    touch(root, "a.mp4")
    found = read(root, f"a.mp4 0\n{root.parent}/other/x y.mp4 1\n")
    assert found.paths == (f"{root}/a.mp4", f"{root.parent}/other/x y.mp4")


@pytest.mark.parametrize("entry", ["../secret 1", "../secret 1 0", "x/../../secret 1 0", "../../ 1 0"])
def test_nothing_is_looked_up_outside(entry, root, listed):
    touch(root, "a 1 0.mp4", "x/a.mp4")
    touch(root.parent, "secret.mp4", "secret 1.mp4")
    with pytest.raises(UsageError, match="contains '..'; write the path without it"):
        read(root, entry)
    assert listed == []


def test_relative_folder(root, monkeypatch):
    touch(root, "a.mp4", "x/b.mp4")
    text = write(root, "a.mp4 0\nx/b 1\n")
    monkeypatch.chdir(root)
    assert read_list(text, ".").paths == ("a.mp4", "x/b.mp4")


def test_each_folder_is_listed_once(root, listed):
    names = [f"c{number % 4}/v{number}.mp4" for number in range(2000)]
    touch(root, *names)
    path = write(root, "\n".join(f"{name} {number % 4}" for number, name in enumerate(names)))
    assert len(read_list(path, root).paths) == 2000
    assert sorted(listed) == [f"{root}/c{number}" for number in range(4)]


# Folders of classes


def test_folder_of_classes(root):
    touch(root, "dog/b 2.MP4", "dog/a.webm", "dog/notes.txt", "dog/.hidden.mp4", "dog/thumbs/readme.txt", "readme.txt")
    touch(root, *(f"cat/v{number}{ending}" for number, ending in enumerate(VIDEO_SUFFIXES)))
    frames(root, "dog/frames", "emu/one", "emu/two")
    found = folder_videos(root)
    cats = [f"cat/v{number}{ending}" for number, ending in enumerate(VIDEO_SUFFIXES)]
    expected = [(name, 0) for name in sorted(cats)]
    expected += [("dog/a.webm", 1), ("dog/b 2.MP4", 1), ("dog/frames", 1), ("emu/one", 2), ("emu/two", 2)]
    assert pairs(found, root) == expected
    assert (found.classes, found.format) == (("cat", "dog", "emu"), "a folder for each class")
    assert set(folder_videos(root, ("emu", "yak", "dog", "cat")).labels) == {0, 2, 3}


def test_folders_that_are_wrong(root):
    with pytest.raises(UsageError, match=r"absent: no such folder; video data lies in train/<class>/ and val/<class>/"):
        folder_videos(root / "absent")
    with pytest.raises(UsageError, match="has no sub-folders"):
        folder_videos(root)
    touch(root, "cat/a.mp4", "dog/a.txt")
    with pytest.raises(FailureError, match="class 'dog' has no video; add some, or remove the folder"):
        folder_videos(root)
    with pytest.raises(UsageError, match="class 'dog' is not among the 1 trained classes"):
        folder_videos(root, ["cat"])


def test_order_of_frames(root):
    touch(root, "frame10.jpg", "frame9.jpg", "frame1.PNG", "frame02.jpeg", "notes.txt", ".frame3.jpg")
    assert [os.path.basename(path) for path in frame_files(str(root))] == [
        *("frame1.PNG", "frame02.jpeg", "frame9.jpg", "frame10.jpg")
    ]


def test_same_classes():
    def with_classes(*classes):
        return VideoList((), (), classes, "")

    check_same_classes(with_classes("a", "b"), with_classes("a", "b"))
    check_same_classes(with_classes("0", "1", "2"), with_classes("0", "1"))  # numbers: the last class is not in one
    for train, val, message in (
        (("a", "b"), ("b", "a"), "class 0 is 'b' in the validation list and 'a' in the training list"),
        (("0", "1"), ("0", "1", "2"), "class 2 is '2' in the validation list and none in the training list"),
        (("a", "b"), ("a", "1"), "class 1 is '1' in the validation list and 'b' in the training list"),
    ):
        with pytest.raises(UsageError, match=message):
            check_same_classes(with_classes(*train), with_classes(*val))
