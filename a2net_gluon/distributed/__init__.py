"""Start and supervision of a job of several processes, on this machine or on several.

The supervisor, this package's `launch`, starts one agent for each process, here or by ssh, and hands it its assignment.
The agent connects to the supervisor, runs the process, and returns output and exit code. When the connection is closed,
it kills the process it started, with all descendants, so that none is left on any machine, however the job ends.
"""

from a2net_gluon.distributed.supervisor import launch

__all__ = ["launch"]
