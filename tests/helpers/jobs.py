"""Jobs of several processes, which must leave none behind."""

import pathlib
import subprocess
import uuid

from tests.helpers.processes import ROOT, still_there, usual_environment

MARK = "A2NET_TEST"  # variable of the environment by which the processes of a job are known


def processes_with(mark):
    """Numbers of all processes whose environment has the mark."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def left_with(mark):
    """Processes with the mark that are still there."""
    return still_there(lambda: processes_with(mark))


class Job:
    """A command in the background; its processes are known by a variable of their environment."""

    def __init__(self, *words, **environment):
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [str(word) for word in words],
            cwd=ROOT,
            env={**usual_environment(), MARK: self.mark, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, timeout=240):
        """Exit code and output."""
        try:
            self.output = self.process.communicate(timeout=timeout)[0]
        finally:
            self.process.kill()
        return self.process.returncode, self.output

    def processes(self):
        """Numbers of all processes that belong to it."""
        return processes_with(self.mark)

    def left(self):
        """Processes that are still there at its end."""
        return left_with(self.mark)
