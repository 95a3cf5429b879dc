"""The processes of a job, with shell scripts in the place of a training."""

import re
import socket

import pytest

from a2net_gluon.distributed import supervisor
from a2net_gluon.distributed.processes import hold_port, is_taken


@pytest.mark.parametrize("kind", ["{}", "setsid {}", "setsid {} > /dev/null 2>&1"])
def test_children_end_with_their_process(kind, launch_script, tmp_path):
    """Those that hold its output, and those that have a session of their own."""
    child = kind.format(f"sh -c 'sleep 30; touch {tmp_path}/late'")
    code, output = launch_script(f"{child} & echo started; exit 7")
    assert code == 7, output
    assert "started" in output
    assert not (tmp_path / "late").exists()


def test_children_end_with_the_job(launch_script, tmp_path):
    begun = tmp_path / "begun"
    first = f"setsid sleep 30 & touch {begun}; wait"
    second = f"until [ -e {begun} ]; do sleep 0.1; done; exit 7"
    code, output = launch_script(f"case $A2NET_PROCESS in worker-0) {first} ;; *) {second} ;; esac", workers=2)
    assert code == 7, output
    assert "worker-1 ended with exit code 7" in output


def test_children_do_not_keep_a_job_from_its_restart(launch_script, tmp_path):
    script = f"(sleep 30; touch {tmp_path}/late) & exit 7"
    code, output = launch_script(script, "--save-dir", "anywhere", max_restarts=1)
    assert code == 7, output
    assert output.count("worker-0 ended with exit code 7") == 2
    assert "starting again (1 of 1)" in output
    assert not (tmp_path / "late").exists()


def test_a_log_that_cannot_be_written(launch_script, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker-0.log").symlink_to("/dev/full")
    code, output = launch_script("echo first; sleep 0.5; echo last; exit 7")
    assert code == 7, output
    assert "worker-0.log: cannot be written (No space left on device)" in output
    assert "first\n" in output
    assert "last\n" in output


def test_a_line_without_end(launch_script):
    code, output = launch_script("head -c 3000000 /dev/zero | tr '\\0' X; exit 7")
    assert code == 7, output[-1000:]
    assert output.count("X") == 3_000_000


def test_the_token_is_on_no_command_line(launch_script):
    code, output = launch_script("tr '\\0' ' ' < /proc/$PPID/cmdline; echo; exit 7")
    assert code == 7, output
    assert "a2net_gluon.distributed.agent" in output
    assert not re.search("[0-9a-f]{32}", output)


def listener(address):
    """A socket as the scheduler of MXNet makes it."""
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(address)
    other.listen()
    return other


def test_a_held_port_is_for_the_scheduler_only():
    with hold_port("127.0.0.1") as held:
        with hold_port("127.0.0.1") as other, socket.socket() as plain:
            assert other.getsockname() != held.getsockname()
            with pytest.raises(OSError, match="in use"):
                plain.bind(held.getsockname())
        with listener(held.getsockname()):
            assert is_taken(held)
        assert not is_taken(held)


def test_a_port_that_another_program_takes_costs_no_restart(launch_script, monkeypatch, tmp_path):
    others = []

    def hold_and_lose(address):
        held = hold_port(address)
        if not others:
            others.append(listener(held.getsockname()))
        return held

    monkeypatch.setattr(supervisor, "hold_port", hold_and_lose)
    code, output = launch_script(f"[ -e {tmp_path}/once ] && exit 7; touch {tmp_path}/once; sleep 60")
    with others[0]:
        assert f"another program has taken port {others[0].getsockname()[1]}, starting again on another" in output
    assert code == 7, output
