"""Start and supervision of a job of several processes, on this machine or on several.

MXNet's own launcher (``mxnet/tools/launch.py``) starts one agent for each process. An agent connects to the supervisor,
this package's `launch`, receives its command, runs it, and returns output and exit code. When the connection is closed,
it kills the process it started, so that no process is left on any machine, however the job ends.
"""

from a2net_gluon.distributed.supervisor import launch

__all__ = ["launch"]
