"""Speed and memory of A²-Net beside PyTorch and ONNX Runtime, on the CPU.

    make bench                                                   everything; about an hour on 2 cores
    python -m benchmarks.speed --only inference --output runs/speed
    python -m benchmarks.speed --only input --images FOLDER      photographs instead of generated JPEGs
    python -m benchmarks.speed --quick                           small sizes, to see whether everything runs

Every implementation is a process of its own with the same threads, the same parameters and the same images. They take
turns, and so does a matrix product, the machine's peak. An implementation that computes something else is excluded and
named. Each scenario writes OUTPUT/<scenario>.json with every single time and .md with tables. Leave the machine alone
meanwhile.
"""

import argparse
import contextlib
import datetime
import pathlib
import platform
import subprocess
import sys

from a2net_gluon import program
from a2net_gluon.environment import thread_count
from a2net_gluon.files import folder_for_output
from a2net_gluon.options.types import Parser, count
from benchmarks.comparison import RATIOS, evaluate
from benchmarks.report import write_report
from benchmarks.runner import ending_on_signals, peers_python
from benchmarks.scenarios import SCENARIOS
from benchmarks.setup import QUICK, Settings
from benchmarks.worker import find_jpegs

SIZES = (
    "network",
    "size",
    "batch",
    "rounds",
    "runs",
    "square",
    "turns",
    "channels",
    "width",
    "video",
    "clip",
    "clips",
)  # in a report


def main(arguments=None):
    """Run the scenarios that the command line names; returns the exit code."""
    return program.run(_speed, sys.argv[1:] if arguments is None else arguments, prog="python -m benchmarks.speed")


def _speed(arguments, prog):
    args, settings = _parse(arguments, prog)
    folder = folder_for_output(args.output)
    with ending_on_signals():
        for scenario in args.only:
            settings.log(f"--- {scenario}")
            write_report(_report(scenario, settings), folder)
            settings.log(f"{folder / scenario}.md, .json")


def _parse(arguments, prog):
    options = Parser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="scenarios (all)")
    options.add_argument("--rounds", type=count, help=f"turns of each implementation ({Settings.rounds})")
    options.add_argument("--batch-size", dest="batch", type=count, help=f"of a network's input ({Settings.batch})")
    options.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/speed"), help="folder (runs/speed)")
    options.add_argument("--images", type=pathlib.Path, help="folder of JPEGs for input, searched recursively")
    options.add_argument("--quick", action="store_true", help="small sizes; the figures mean nothing")
    options.add_argument("--no-torch", action="store_true", help="leave PyTorch and the other peers out")
    args = options.parse_args(arguments)
    if args.images and not find_jpegs(args.images):
        options.error(f"--images: {args.images} holds no JPEG")
    if not args.no_torch and not peers_python().is_file():
        options.error(f"{peers_python()}: no such file; make bench installs PyTorch there, --no-torch leaves it out")
    sizes = dict(QUICK) if args.quick else {}
    sizes.update({name: getattr(args, name) for name in ("rounds", "batch") if getattr(args, name)})
    sizes.update(threads=thread_count(), images=args.images, torch=not args.no_torch)
    return args, Settings(**sizes, log=lambda line: print(line, flush=True))


def _report(scenario, settings):
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    run = describe_run(settings)  # before it: the files may change meanwhile
    found = SCENARIOS[scenario](settings)
    return {
        "scenario": scenario,
        "started": started,
        "commit": run["commit"],
        "machine": {name: run[name] for name in ("processor", "threads", "kernel")},
        "settings": {name: getattr(settings, name) for name in SIZES},
        "ratios": evaluate(RATIOS.get(scenario, ()), found["rows"]),
        **found,
    }


def describe_run(settings):
    """Return what a report says about the machine and the code."""
    machine = {"processor": _processor(), "threads": settings.threads, "kernel": platform.release()}
    return {"commit": _commit(), **machine}


def _processor():
    """Return the processor's name and its model number: virtual machines on different ones have the same name."""
    with contextlib.suppress(OSError, KeyError), open("/proc/cpuinfo") as file:
        first = dict(map(str.strip, line.split(":", 1)) for line in iter(file.readline, "\n"))
        return f"{first['model name']} (model {first['model']})"
    return None


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None


if __name__ == "__main__":
    sys.exit(main())
