"""The profile of a small network."""

import pytest

from benchmarks import profile


def line(kind, direction, shape, milliseconds):
    return f"dnnl_verbose,exec,cpu,{kind},jit:avx512,{direction},src_f32 dst_f32,,,{shape},{milliseconds}"


def test_the_least_of_each_shape_counts():
    runs = profile.RUNS
    lines = ["something else"]
    for run in range(runs):
        lines += [line("convolution", "forward_training", "1x8", 2 + run), line("reorder", "undef", "1x8", 1)] * 2
        lines += [line("convolution", "forward_training", "1x16", 10 - run)]
    found = profile.parse(lines)
    assert found == {"convolution, forward_training": (3, 2 * 2 + 10 - (runs - 1)), "reorder": (2, 2)}
    rows = profile.profile_table(found, 20, 2).splitlines()
    assert rows[2:4] == [
        "| convolution, forward_training | 3 | 5.00 | 50.0 % |",
        "| not oneDNN's: matrix products, update, loss; waiting |  | 4.00 | 40.0 % |",
    ]


@pytest.mark.parametrize("kind", ["training", "inference"])
def test_profile_of_a_network(kind, capsys):
    flags = ["--network", "a2net_resnet20_small", "--batch-size", "4", "--size", "32"]
    assert profile.main(["--kind", kind, *flags]) == 0
    counts = {}
    for row in capsys.readouterr().out.splitlines()[2:-1]:
        name, count, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        counts[name] = count
    passes = ["forward_training", "backward_data", "backward_weights"] if kind == "training" else ["forward_inference"]
    for direction in passes:
        assert int(counts[f"convolution, {direction}"]) in (29, 30)  # the image needs no gradient
    assert int(counts["softmax"]) >= 4


def test_unknown_network(capsys):
    assert profile.main(["--network", "a2net_resnet99"]) == 1
    assert "a2net_resnet99" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        profile.main(["--batch-size", "0"])
