"""The ``a2net`` command; each subcommand is a few lines over the packages."""

from __future__ import annotations

import dataclasses
import sys
import typing

from a2net_gluon import __version__, environment, options, settings
from a2net_gluon.errors import UsageError
from a2net_gluon.program import Arguments, Command, run
from a2net_gluon.terminal import say

if typing.TYPE_CHECKING:
    from a2net_gluon import training

__all__ = ["main", "run"]


def main(arguments: Arguments | None = None) -> int:
    """Run ``a2net COMMAND …``; returns the exit code: 0, 1 for a failure, 2 for a usage error."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        return run(_help, arguments[1:], prog="a2net")
    if name == "--version":
        return run(_version, arguments[1:], prog="a2net")
    if name not in COMMANDS:
        return run(_unknown, [name], prog="a2net")
    return run(COMMANDS[name], arguments[1:], prog=f"a2net {name}")


def _help(arguments: Arguments, prog: str) -> None:
    print("usage: a2net COMMAND …\n\nA²-Nets: Double Attention Networks for MXNet/Gluon\n\ncommands:")
    for command, function in COMMANDS.items():
        print(f"  {command:<12} {function.__doc__}")
    print("\na2net COMMAND --help lists the options; a2net --version prints the version.")


def _version(arguments: Arguments, prog: str) -> None:
    print(f"a2net-gluon {__version__}")


def _unknown(arguments: Arguments, prog: str) -> typing.NoReturn:
    raise UsageError(f"unknown command {arguments[0]!r}; there are: {', '.join(COMMANDS)}")


# Subcommands import what they need when they run: mxnet takes seconds to load, and --help should not.


def train(arguments: Arguments, prog: str) -> None:
    """train a network on images"""
    _train(options.parse_training(arguments, prog))


def train_video(arguments: Arguments, prog: str) -> None:
    """train a network on video clips"""
    _train(options.parse_training(arguments, prog, options.FOR_CLIPS))


def _train(command: options.TrainingCommand) -> None:
    training = command.training
    environment.set_thread_count(training.devices.cpu_contexts)
    from a2net_gluon import training as commands

    if command.test_io:
        commands.reader_speeds(training, say, command.device_rate)
    elif command.evaluate:
        _evaluate(command.evaluation())
    elif isinstance(training.data, settings.Videos) and training.data.ucf_split == "all":
        print(commands.mean_in_words(commands.train_splits(training, verbose=True)))
    else:
        commands.train(training, verbose=True)


def check(arguments: Arguments, prog: str) -> int:
    """check data, devices and disk before a long run"""
    kinds = {"train": options.FOR_IMAGES, "train-video": options.FOR_CLIPS}
    kind = kinds.get(arguments[0]) if arguments else None
    try:
        command = options.parse_check(arguments[1:] if kind else arguments, prog, kind or options.FOR_IMAGES)
    except UsageError as error:  # settings that contradict each other
        say(f"FAIL options and data: {error}")
        return 1
    environment.set_thread_count(command.training.devices.cpu_contexts)
    missing = environment.missing_cuda_libraries() if environment.has_cuda_build() else {}
    for name, fix in missing.items():
        print(f"FAIL CUDA: {name} is missing: {fix}")
    if missing:  # mxnet cannot be imported
        return 1
    from a2net_gluon.training import preflight

    failed = False
    for finding in preflight.check(command.training, command.bad_list):
        say(f"{finding.verdict:<4} {finding.what}: {finding.text}")
        sys.stdout.flush()
        failed = failed or finding.verdict == "FAIL"
    return int(failed)


def ablate(arguments: Arguments, prog: str) -> None:
    """train variants of a network with several seeds, and compare them"""
    request = options.parse_ablation(arguments, prog)
    from a2net_gluon import ablation

    results = ablation.ablate(request, tell=_say_at_once)
    print(ablation.as_markdown(results))
    say(f"written: {', '.join(f'{request.save_dir}/{name}' for name in ablation.FILES)}")


def _say_at_once(line: str) -> None:
    say(line)
    sys.stdout.flush()


def launch(arguments: Arguments, prog: str) -> int:
    """run a training command in several processes or on several machines"""
    args = options.parse_launch(arguments, prog)
    from a2net_gluon import distributed

    return distributed.launch(
        args.command,
        workers=args.num_workers,
        servers=args.num_servers,
        hostfile=args.hostfile,
        max_restarts=args.max_restarts,
        log_dir=args.log_dir,
    )


def evaluate(arguments: Arguments, prog: str) -> None:
    """evaluate a network on validation data"""
    evaluation = options.parse_evaluation(arguments, prog)
    environment.set_thread_count(evaluation.devices.cpu_contexts)
    from a2net_gluon.data.kinds import as_found

    _evaluate(dataclasses.replace(evaluation, data=as_found(evaluation.data)))


def _evaluate(evaluation: settings.Evaluation) -> None:
    from a2net_gluon import training

    if isinstance(evaluation.data, settings.Videos) and evaluation.data.ucf_split == "all":
        results = training.evaluate_splits(evaluation, on_skip=_say_skipped)
    else:
        results = [training.evaluate(evaluation, on_skip=_say_skipped)]
    for result in results:
        _say_result(evaluation, result)
    if len(results) > 1:
        print(training.mean_in_words(results))


def _say_result(evaluation: settings.Evaluation, result: training.EvaluationResult) -> None:
    from a2net_gluon.training.metrics import in_words
    from a2net_gluon.training.report import problems_in_words

    noun = evaluation.data.kind.noun
    for text in problems_in_words(result.problems, noun):
        say(text)
    if result.rank:  # the first process of a job shows what is that of all
        return
    columns = sorted(result.columns, key=lambda column: not column.fraction)  # accuracies first
    measured = in_words(columns, result.metrics, digits=4)
    print(f"{evaluation.network.name}: {measured} on {result.samples_in_words(noun)}")


def _say_skipped(name: str, reason: str) -> None:
    say(f"skipped {name}: {reason}")


def report(arguments: Arguments, prog: str) -> None:
    """write a page about training runs"""
    request = options.parse_report(arguments, prog)
    from a2net_gluon.training import run_report

    say(f"written: {run_report.report(request)}")


def export(arguments: Arguments, prog: str) -> None:
    """write a network for deployment, or for training in PyTorch"""
    request = options.parse_export(arguments, prog)
    from a2net_gluon import data
    from a2net_gluon.deploy.exporting import export as export_with_settings
    from a2net_gluon.deploy.forms import exported_files
    from a2net_gluon.training.report import problems_in_words

    _say_if_random(request)
    problems = data.Problems()

    def skip(name: str, reason: str) -> None:
        for new in problems.add({name: reason}, ()):
            _say_skipped(new, reason)

    proofs = export_with_settings(request, skip)
    for text in problems_in_words(problems):
        say(text)
    samples = "clips" if request.network.takes_clips else "images"
    for name, proof in proofs.items():
        own = "" if proof.rounding is None else f" (float32 itself: {proof.rounding:.1e} from float64)"
        print(
            f"{name}: {proof.images} {samples}, largest relative difference {proof.difference:.1e}{own}, "
            f"top-1 agreement {100 * proof.agreement:.2f} %"
        )
    written = exported_files(request.output, ["symbol", *request.forms])
    say(f"written: {', '.join(map(str, written))}")


def import_parameters(arguments: Arguments, prog: str) -> None:
    """bring parameters that were trained in PyTorch back"""
    request = options.parse_import(arguments, prog)
    from a2net_gluon.deploy import importing

    description, paths = importing.import_parameters(request)
    say(f"{description.network}, {len(description.classes)} classes, written: {', '.join(map(str, paths))}")


def _say_if_random(trained: settings.Trained) -> None:
    if not (trained.params or trained.pretrained):
        print("no --params: random, untrained parameters")


def predict(arguments: Arguments, prog: str) -> int:
    """classify image files or videos with an exported network"""
    args = options.parse_predict(arguments, prog)
    from a2net_gluon.data import find_images, find_videos
    from a2net_gluon.deploy import Predictor, prediction_output

    predictor = Predictor(args.prefix, args.form)
    clips = predictor.description.preprocessing.frames is not None
    paths = (find_videos if clips else find_images)(args.files)
    predictions = predictor.predict(paths, args.top, args.batch_size, args.views)
    style = "json" if args.json else "csv" if args.csv else "lines"
    shown = prediction_output.with_progress(predictions, len(paths), style, "video" if clips else "image")
    return prediction_output.print_predictions(shown, style)


def attention(arguments: Arguments, prog: str) -> int:
    """draw attention maps for image files or videos"""
    request = options.parse_attention(arguments, prog)
    from a2net_gluon.insight import attention_report

    reports = attention_report.attention(request)
    _say_if_random(request)
    failed = drawn = False
    for report in reports:
        if report.problem:
            failed = True
            say(f"{report.path}: {report.problem}", sys.stderr)
        else:
            drawn = True
            files = f"{', '.join(report.files[:-1])} and {report.files[-1]}"
            say(f"{report.path}: {report.name} {100 * report.probability:.1f} %, see {files}")
    if request.html and drawn:
        say(f"page: {request.output}/{attention_report.PAGE}")
    return int(failed)


def cost(arguments: Arguments, prog: str) -> None:
    """count a network's parameters and multiply-adds"""
    args = options.parse_cost(arguments, prog)
    from a2net_gluon import insight, networks
    from a2net_gluon.insight import cost_report
    from a2net_gluon.networks.description import network_in_words

    channels, *frames, height, width = networks.input_shape(args.model)
    if args.frames and not frames:
        raise UsageError(f"--frames is {args.frames}, {args.model} takes images: omit it")
    frames = [args.frames] if args.frames else frames
    shape = (channels, *frames, args.input_size or height, args.input_size or width)
    blocks = options.network_of(vars(args)).blocks
    net = networks.get_model(args.model, classes=args.classes, **blocks)
    total, parts, stored = insight.cost(net, shape), {}, {}
    if args.by:
        parts, stored = insight.breakdown(net, shape, args.by), insight.intermediates(net, shape)
    if args.json:
        heading = {"model": args.model, "options": blocks, "input_shape": shape}
        print(cost_report.as_json(heading, total, parts, stored))
    else:
        print(f"{network_in_words(args.model, blocks)}, input {'×'.join(str(size) for size in shape)}")
        print(cost_report.as_text(total, parts, stored))


def tables(arguments: Arguments, prog: str) -> None:
    """count the costs in the paper's tables"""
    args = options.parse_tables(arguments, prog)
    if args.markdown and args.markdown == args.csv:
        raise UsageError(f"--markdown and --csv both name {args.csv}: give two files")
    from a2net_gluon.files import write_text
    from a2net_gluon.insight import table_report

    print(table_report.as_json() + "\n" if args.json else table_report.as_text(), end="")
    for path, write in ((args.markdown, table_report.as_markdown), (args.csv, table_report.as_csv)):
        if path is not None:
            write_text(path, write())
            say(f"written: {path}", sys.stderr if args.json else sys.stdout)
    table_report.check()


def digits(arguments: Arguments, prog: str) -> None:
    """write the embedded digits as an image folder"""
    args = options.parse_digits(arguments, prog)
    from a2net_gluon.data.digits import write_folder

    say(f"written: {write_folder(args.folder)} images in {args.folder}")


def pack(arguments: Arguments, prog: str) -> None:
    """pack an image folder as RecordIO"""
    args = options.parse_pack(arguments, prog)
    from a2net_gluon.data import pack_folder

    how = {"resize": args.resize, "quality": args.quality, "workers": args.num_data_workers}
    count = pack_folder(args.folder, args.prefix, _say_skipped, **how, tell=say)
    say(f"written: {count} images in {args.prefix}.rec")


def pack_clips(arguments: Arguments, prog: str) -> None:
    """pack videos in a form that is read faster"""
    packing = options.parse_pack_clips(arguments, prog)
    from a2net_gluon.data.video_packing import pack_videos

    for path, count in pack_videos(packing, _say_skipped, say).items():
        say(f"written: {count} videos in {path}")


COMMANDS: dict[str, Command] = {
    "train": train,
    "train-video": train_video,
    "evaluate": evaluate,
    "report": report,
    "export": export,
    "import": import_parameters,
    "predict": predict,
    "attention": attention,
    "cost": cost,
    "tables": tables,
    "digits": digits,
    "pack": pack,
    "pack-clips": pack_clips,
    "ablate": ablate,
    "check": check,
    "launch": launch,
}
