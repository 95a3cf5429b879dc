"""MXNet's launcher with its faults worked around, started as ``python -m a2net_gluon.distributed.tracker …``."""

import importlib.util
import pathlib
import runpy
import sys
import threading


def main() -> None:
    """Run mxnet 1.9.1's tools/launch.py with the arguments of this process."""
    # The launcher calls a method by the name that Python 3.9 dropped.
    setattr(threading.Thread, "isAlive", threading.Thread.is_alive)  # noqa: B010  (not in the type any more)
    if "local" in sys.argv:
        # Processes of one machine use the loopback device; the launcher would look for an external address.
        from dmlc_tracker import tracker

        tracker.get_host_ip = lambda *_: "127.0.0.1"
    mxnet = importlib.util.find_spec("mxnet")  # located, not imported: an import is slow
    if mxnet is None or mxnet.origin is None:
        raise ModuleNotFoundError("No module named 'mxnet'", name="mxnet")
    folder = pathlib.Path(mxnet.origin).parent
    runpy.run_path(str(folder / "tools" / "launch.py"), run_name="__main__")


if __name__ == "__main__":
    main()
