"""Starting a job of several processes, on this machine or on several, and looking after it.

MXNet's own launcher (``mxnet/tools/launch.py``) starts one agent for each process. An agent asks the supervisor, this
package's `launch`, over a connection what to run, runs it, and passes on output and exit code. When the connection is
cut it kills what it started, so that nothing is left on any machine, however the job ends.
"""

from a2net_gluon.distributed.supervisor import launch

__all__ = ["launch"]
