"""Speed and memory of A²-Net beside PyTorch and ONNX Runtime, on the CPU.

    make bench                                                   everything; 55 minutes on 2 cores
    python -m benchmarks.speed --only inference --output runs/speed
    python -m benchmarks.speed --only input --images FOLDER      photographs instead of JPEGs made for it
    python -m benchmarks.speed --quick                           small sizes, to see whether everything runs

Every contender is a process of its own with the same threads, the same parameters and the same images; they take turns,
and so does a product of matrices, the machine's peak. Who computes something else than the others is out. Each scenario
leaves OUTPUT/<scenario>.json with every single time, .md with tables and .png. Leave the machine alone meanwhile.
"""

import argparse
import contextlib
import datetime
import pathlib
import platform
import signal
import subprocess
import sys

from a2net_gluon.environment import thread_count
from a2net_gluon.errors import FailureError
from a2net_gluon.files import folder_for_output
from benchmarks.contenders import ContenderError, peers_python
from benchmarks.ratios import RATIOS, evaluate
from benchmarks.report import write_report
from benchmarks.scenarios import SCENARIOS
from benchmarks.stage import QUICK, Settings
from benchmarks.worker import find_jpegs


def main(arguments=None):
    """Run the scenarios that the command line names; returns the exit code."""
    args = _parser().parse_args(arguments)
    settings = _settings(args)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that contenders are ended
    try:
        folder = folder_for_output(args.output)
        for scenario in args.only:
            settings.tell(f"--- {scenario}")
            write_report(_report(scenario, settings), folder)
            settings.tell(f"{folder / scenario}.md, .json, .png")
    except (FailureError, ContenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="scenarios (all)")
    parser.add_argument("--rounds", type=int, help=f"turns of each contender ({Settings.rounds})")
    parser.add_argument("--batch-size", type=int, help=f"of inference and training ({Settings.batch})")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/speed"), help="folder (runs/speed)")
    parser.add_argument("--images", type=pathlib.Path, help="folder of JPEGs for input, searched recursively (made)")
    parser.add_argument("--quick", action="store_true", help="small sizes; the figures mean nothing")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    return parser


def _settings(args):
    chosen = {"rounds": args.rounds, "batch": args.batch_size}
    if any(value is not None and value < 1 for value in chosen.values()):
        _parser().error("--rounds and --batch-size must be at least 1")
    if args.images and not find_jpegs(args.images):
        _parser().error(f"--images: {args.images} holds no JPEG")
    if not args.no_torch and not peers_python().is_file():
        _parser().error(f"{peers_python()}: no such file; make bench installs PyTorch there, --no-torch leaves it out")
    return Settings(
        **{
            **(QUICK if args.quick else {}),
            **{name: value for name, value in chosen.items() if value is not None},
            "threads": thread_count(),
            "images": args.images,
            "torch": not args.no_torch,
            "tell": lambda line: print(line, flush=True),
        }
    )


def _report(scenario, settings):
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    commit = _commit()  # before the run: the files may change meanwhile
    found = SCENARIOS[scenario](settings)
    words = {"attended": settings.network, "plain": settings.plain, "largest": max(settings.batches)}
    sizes = ("network", "size", "batch", "rounds", "runs", "square", "turns")
    return {
        "scenario": scenario,
        "started": started,
        "commit": commit,
        "machine": {"processor": _processor(), "threads": settings.threads, "kernel": platform.release()},
        "settings": {name: getattr(settings, name) for name in sizes},
        "ratios": evaluate(RATIOS.get(scenario, ()), found["rows"], words),
        **found,
    }


def _processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), None)
    return None


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None


if __name__ == "__main__":
    sys.exit(main())
