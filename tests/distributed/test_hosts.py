"""Hosts of a job, with a stand-in for ssh."""

import os

import pytest

from a2net_gluon.errors import UsageError

RUN = 'cd /; exec sh -c "${@: -1}"'  # as sshd does
FAIL = 'echo "ssh: connect to host: Connection refused" >&2; exit 255'


@pytest.fixture
def ssh(monkeypatch, tmp_path):
    """Return a function that puts a stand-in in the place of ssh; it returns the folder of the arguments it gets."""

    def install(action):
        for folder in ("bin", "calls"):
            (tmp_path / folder).mkdir()
        program = tmp_path / "bin" / "ssh"
        program.write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" > {tmp_path}/calls/$$\n{action}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return tmp_path / "calls"

    return install


@pytest.mark.parametrize(
    "line",
    [
        "$(touch x)",
        "`touch x`",
        "alpha;touch x",
        "alpha:22;touch x",
        "alpha:22 slots=4;touch x",
        "-oProxyCommand=touch x",
        "-oProxyCommand=touch:22",
        "-l@alpha",
        "alpha beta",
        "me@@alpha",
        "@alpha",
        "alpha:",
        "alpha:0",
        "alpha:65536",
        "alpha:22:22",
        "::1",
        "[::1",
        "[alpha]",
        "'alpha'",
        "älpha",
        "alpha\x00",
    ],
)
def test_what_is_not_a_host(line, launch_script, ssh, tmp_path, monkeypatch):
    calls = ssh(RUN)
    hosts = tmp_path / "hosts"
    hosts.write_text(f"alpha\n\n{line}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"hosts, line 3: .* is not a host; write \[user@\]name\[:port\]"):
        launch_script("exit 7", hostfile=hosts)
    assert list(calls.iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_no_hosts(launch_script, tmp_path):
    (tmp_path / "hosts").write_text("\n \n")
    with pytest.raises(UsageError, match="lists no host"):
        launch_script("exit 7", hostfile=tmp_path / "hosts")


def test_what_ssh_is_told_and_its_failure(launch_script, ssh, tmp_path):
    calls = ssh(FAIL)
    hosts = tmp_path / "hosts"
    hosts.write_text("me@alpha-1.example.org:2222\ngpu_7\n[fe80::1]:22 slots=8\n10.0.0.1\n")
    code, output = launch_script("exit 7", workers=2, servers=2, hostfile=hosts)
    assert code == 1
    assert "server-0 on me@alpha-1.example.org" in output
    assert "did not start (ssh: connect to host: Connection refused), see " in output
    told = [call.read_text().split("\0")[:-1] for call in calls.iterdir()]
    quiet = ["-T", "-o", "BatchMode=yes"]  # nothing about keys: that is the user's matter
    assert sorted(words[:-1] for words in told) == sorted(
        [
            [*quiet, "-p", "2222", "--", "me@alpha-1.example.org"],
            [*quiet, "--", "gpu_7"],
            [*quiet, "-p", "22", "--", "fe80::1"],
            [*quiet, "--", "10.0.0.1"],
        ]
    )
    assert {words[-1].split(" && ")[0] for words in told} == {f"cd {os.getcwd()}"}


def test_a_folder_that_a_shell_would_run(launch_script, ssh, tmp_path, monkeypatch):
    calls = ssh(RUN)
    folder = tmp_path / "it's $(touch x); touch x & here"
    folder.mkdir()
    (tmp_path / "hosts").write_text("alpha\n")
    monkeypatch.chdir(folder)
    code, output = launch_script('pwd; echo "$1"; exit 7', "a  'word' $(touch x)", hostfile=tmp_path / "hosts")
    assert code == 7, output
    assert f"{folder}\n" in output
    assert "a  'word' $(touch x)\n" in output
    assert len(list(calls.iterdir())) == 2  # a server and a worker; the scheduler is on this machine
    assert list(tmp_path.rglob("x")) == []


@pytest.mark.parametrize("yours", [True, False])
def test_variables_of_processes_on_hosts(yours, launch_script, ssh, tmp_path, monkeypatch):
    """They get what the user has set, by a way that no other user can read."""
    calls = ssh(f"unset AWS_SECRET_ACCESS_KEY OMP_NUM_THREADS\n{RUN}")
    (tmp_path / "hosts").write_text("alpha\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "confidential")
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    monkeypatch.setattr("a2net_gluon.environment._chosen_here", not yours)
    code, output = launch_script("env; exit 7", hostfile=tmp_path / "hosts")
    assert code == 7, output
    assert "AWS_SECRET_ACCESS_KEY=confidential\n" in output
    assert ("OMP_NUM_THREADS=17\n" in output) == yours
    assert not any("confidential" in call.read_text() for call in calls.iterdir())
