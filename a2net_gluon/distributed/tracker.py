"""``python -m a2net_gluon.distributed.tracker …``: MXNet's launcher, mended."""

import importlib.util
import pathlib
import runpy
import sys
import threading


def main():
    """Run mxnet 1.9.1's tools/launch.py with the arguments of this process."""
    # It was written for Python before 3.9, which dropped this name.
    threading.Thread.isAlive = threading.Thread.is_alive
    if "local" in sys.argv:
        # Processes of one machine talk over the loopback device; the launcher would look for an outside address.
        from dmlc_tracker import tracker

        tracker.get_host_ip = lambda *_: "127.0.0.1"
    folder = pathlib.Path(importlib.util.find_spec("mxnet").origin).parent  # found, but not imported: that is slow
    runpy.run_path(str(folder / "tools" / "launch.py"), run_name="__main__")


if __name__ == "__main__":
    main()
