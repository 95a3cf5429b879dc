"""The ``a2net`` command; each subcommand is a few lines over the packages."""

import os
import sys

from a2net_gluon import environment, options
from a2net_gluon.errors import FailureError, InterruptedRunError, UsageError

__all__ = ["main", "run"]


def main(arguments=None):
    """Run ``a2net COMMAND …``; returns the exit code: 0, 1 for a failure, 2 for a wrong use."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print("usage: a2net COMMAND …\n\nA²-Nets: Double Attention Networks for MXNet/Gluon\n\ncommands:")
        for command, function in COMMANDS.items():
            print(f"  {command:<10} {function.__doc__}")
        print("\na2net COMMAND --help tells more.")
        return 0
    if name not in COMMANDS:
        print(f"a2net: error: unknown command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return run(COMMANDS[name], arguments[1:], prog=f"a2net {name}")


def run(command, arguments, prog):
    """Call ``command(arguments, prog)``; an error of the user's becomes one line and an exit code."""
    code = _run(command, arguments, prog)
    if code and "DMLC_ROLE" in os.environ:
        # One of several processes has failed. An ordinary exit would wait in MXNet for the others, which wait for it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(command, arguments, prog):
    try:
        return command(arguments, prog) or 0
    except (UsageError, FailureError, InterruptedRunError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush at exit
        return 1
    except ModuleNotFoundError as error:
        fix = _FIXES.get(error.name, f"pip install {error.name}")
        print(f"{prog}: error: {error.name} is not installed: {fix}", file=sys.stderr)
        return 1
    except OSError as error:
        fixes = [fix for name, fix in environment.missing_cuda_libraries().items() if name in str(error)]
        print(f"{prog}: error: {error}{'; ' + fixes[0] if fixes else ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if type(error).__name__ != "MXNetError":  # named, since mxnet need not have been imported
            raise
        print(f"{prog}: error: {_mxnet_error_in_words(str(error))}", file=sys.stderr)
        return 1


_FIXES = {
    "mxnet": "pip install 'a2net-gluon[cpu]' or [cu112]",
    "onnx": "pip install 'a2net-gluon[onnx]'",
    "onnxruntime": "pip install 'a2net-gluon[onnx]'",
}


def _mxnet_error_in_words(text):
    """One line for an error of MXNet, which comes as a page of C++ frames."""
    reason = next((line for line in text.splitlines() if "Error:" in line or "Check failed" in line), text.strip())
    if "out of memory" in text:
        return "the GPU's memory is full: lower --batch-size (--accumulate keeps the total batch)"
    if "no kernel image" in text:
        return "mxnet-cu112 has no code for this GPU: it runs on compute capability 5.0 to 8.6; see the README"
    return f"MXNet failed ({' '.join(reason.split())[:300]})"


# Subcommands import what they need when they run: mxnet takes seconds to load, and --help should not.


def _with_threads(args):
    environment.set_thread_count(args.cpu_contexts)
    return args


def train(arguments, prog):
    """train a network"""
    args = _with_threads(options.parse_training(arguments, prog))
    from a2net_gluon import training

    if args.test_io:
        training.read_epoch(args, print)
    elif args.evaluate:
        if not (args.resume_params or args.use_pretrained):
            raise UsageError("--evaluate needs --resume-params FILE or --use-pretrained: the parameters to measure")
        args.params = args.resume_params
        _evaluate(args)
    else:
        training.train(args)


def check(arguments, prog):
    """look through data, devices and disk before a long run"""
    args = _with_threads(options.parse_training(arguments, prog))
    missing = environment.missing_cuda_libraries() if environment.has_cuda_build() else {}
    for name, fix in missing.items():
        print(f"FAIL CUDA: {name} is missing: {fix}")
    if missing:  # mxnet cannot be imported
        return 1
    from a2net_gluon.training.preflight import check_run

    failed = False
    for finding in check_run(args):
        print(f"{finding.verdict:<4} {finding.what}: {finding.text}", flush=True)
        failed = failed or finding.verdict == "FAIL"
    return int(failed)


def launch(arguments, prog):
    """run a training command in several processes or on several machines"""
    args = options.launch_parser(prog).parse_args(arguments)
    from a2net_gluon import distributed

    return distributed.launch(
        args.command,
        workers=args.num_workers,
        servers=args.num_servers,
        hostfile=args.hostfile,
        max_restarts=args.max_restarts,
        log_dir=args.log_dir,
    )


def evaluate(arguments, prog):
    """measure a network on validation data"""
    args = _with_threads(options.evaluation_parser(prog).parse_args(arguments))
    _evaluate(args)


def _evaluate(args):
    from a2net_gluon import training
    from a2net_gluon.training.report import percent, problems_in_words

    measured = training.evaluate(args, on_skip=lambda name, reason: print(f"skipped {name}: {reason}"))
    for text in problems_in_words(measured["problems"]):
        print(text)
    print(
        f"{args.model}: top-1 {percent(measured['top1'])}, top-5 {percent(measured['top5'])}, "
        f"loss {measured['loss']:.4f} on {measured['count']:,} of {measured['total']:,} images"
    )


def export(arguments, prog):
    """write a network for deployment: symbol and params, ONNX, 8 bits"""
    args = options.export_parser(prog).parse_args(arguments)
    from a2net_gluon import deploy
    from a2net_gluon.data import find_images
    from a2net_gluon.deploy.forms import exported_files

    forms = [form for form, wish in (("onnx", args.onnx), ("optimized", args.optimize), ("int8", args.int8)) if wish]
    images, calibration = find_images(args.images), find_images(args.int8 or ())
    net, description = _network(args, clips=True)
    proofs = deploy.export_network(net, args.output, description, forms, images, calibration, args.pixels)
    inputs = "clips" if description.preprocessing.frames else "images"
    for name, proof in proofs.items():
        print(
            f"{name}: {proof.images} {inputs}, largest relative difference {proof.difference:.1e}, "
            f"top-1 agreement {100 * proof.agreement:.2f} %"
        )
    print(f"written: {', '.join(str(path) for path in exported_files(args.output, ['symbol', *forms]))}")


def _network(args, clips=False):
    from a2net_gluon import from_options

    net, description = from_options.network(args, clips)
    if not (args.params or args.use_pretrained):
        print("no --params: random, untrained parameters")
    return net, description


def predict(arguments, prog):
    """classify image files with an exported network"""
    args = options.predict_parser(prog).parse_args(arguments)
    from a2net_gluon.data import find_images
    from a2net_gluon.deploy import Predictor, prediction_output

    paths, predictor = find_images(args.images), Predictor(args.prefix, args.form)
    predictions = predictor.predict(paths, args.top, args.batch_size)
    style = "json" if args.json else "csv" if args.csv else "lines"
    return prediction_output.print_predictions(prediction_output.with_progress(predictions, len(paths), style), style)


def attention(arguments, prog):
    """draw what a network attends to in image files"""
    args = options.attention_parser(prog).parse_args(arguments)
    from a2net_gluon.data import find_images
    from a2net_gluon.insight.attention_report import write_reports

    images = find_images(args.images)
    net, description = _network(args)
    failed = False
    for report in write_reports(net, description, images, args.output, args.blocks, args.maps, args.locations):
        if report.problem:
            failed = True
            print(f"{report.image}: {report.problem}", file=sys.stderr)
        else:
            print(f"{report.image}: {report.name} {100 * report.probability:.1f} %, see {' and '.join(report.files)}")
    return int(failed)


def cost(arguments, prog):
    """count a network's parameters and multiply-adds"""
    args = options.cost_parser(prog).parse_args(arguments)
    from a2net_gluon import from_options, insight, networks
    from a2net_gluon.insight import cost_report
    from a2net_gluon.networks.description import network_in_words

    channels, *frames, height, width = networks.input_shape(args.model)
    if args.frames and not frames:
        raise UsageError(f"--frames is {args.frames}, {args.model} takes images: leave it out")
    frames = [args.frames] if args.frames else frames
    shape = (channels, *frames, args.input_size or height, args.input_size or width)
    options_of_blocks = from_options.context_options(args)
    net = networks.get_model(args.model, classes=args.classes, **options_of_blocks)
    total, parts, stored = insight.cost(net, shape), {}, {}
    if args.by:
        parts, stored = insight.breakdown(net, shape, args.by), insight.intermediates(net, shape)
    if args.json:
        heading = {"model": args.model, "options": options_of_blocks, "input_shape": shape}
        print(cost_report.as_json(heading, total, parts, stored))
    else:
        print(f"{network_in_words(args.model, options_of_blocks)}, input {'×'.join(str(size) for size in shape)}")
        print(cost_report.as_text(total, parts, stored))


def tables(arguments, prog):
    """count the costs of the paper's tables beside the printed ones"""
    args = options.tables_parser(prog).parse_args(arguments)
    if args.markdown and args.markdown == args.csv:
        raise UsageError(f"--markdown and --csv both name {args.csv}: give two files")
    from a2net_gluon.files import write_text
    from a2net_gluon.insight import table_report

    print(table_report.as_json() + "\n" if args.json else table_report.as_text(), end="")
    for path, write in ((args.markdown, table_report.as_markdown), (args.csv, table_report.as_csv)):
        if path is not None:
            write_text(path, write())
            print(f"written: {path}", file=sys.stderr if args.json else sys.stdout)
    table_report.check()


def digits(arguments, prog):
    """write the embedded digits as an image folder"""
    args = options.digits_parser(prog).parse_args(arguments)
    from a2net_gluon.data.digits import write_folder

    print(f"written: {write_folder(args.folder)} images in {args.folder}")


def pack(arguments, prog):
    """pack an image folder as RecordIO"""
    args = options.pack_parser(prog).parse_args(arguments)
    from a2net_gluon.data import pack_folder

    print(f"written: {pack_folder(args.folder, args.prefix)} images in {args.prefix}.rec")


COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "predict": predict,
    "attention": attention,
    "cost": cost,
    "tables": tables,
    "digits": digits,
    "pack": pack,
    "check": check,
    "launch": launch,
}
