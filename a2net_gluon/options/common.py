"""Options that several commands share. Names are GluonCV's where its train_imagenet.py has them."""

from a2net_gluon.options.types import count, numbers, placement, rate, whole

__all__ = [
    "MODEL_HELP",
    "add_context_options",
    "add_data_options",
    "add_device_options",
    "add_parameter_options",
    "add_preprocessing_options",
    "uses_records",
]

MODEL_HELP = "name of the network, e.g. a2net_resnet50; an unknown one lists all"


def add_context_options(parser):
    """Which context blocks stand where, if not the network's own; names are those of `a2net_gluon.get_model`."""
    group = parser.add_argument_group("context blocks (the network's own unless given)")
    group.add_argument(
        "--context", metavar="KIND", help="a2: double attention, nl: non-local, se: squeeze-and-excitation"
    )
    group.add_argument(
        "--placement", type=placement, metavar="STAGE:UNIT,…", help="units they stand after: conv3:1,2+conv4:1,2"
    )
    group.add_argument("--reduction", type=count, help="their width is that of the stage divided by this")


def add_data_options(parser):
    """Where images come from and how they are batched."""
    group = parser.add_argument_group("data (with none of these: the handwritten digits of scikit-learn)")
    group.add_argument("--data-dir", help="image folder with train/<class>/ and val/<class>/")
    group.add_argument("--use-rec", action="store_true", help="read RecordIO files")
    group.add_argument(
        "--native-reader", action="store_true", help="read records with MXNet's C++ iterator; for sound files"
    )
    group.add_argument("--rec-train", help="training records (.rec)")
    group.add_argument("--rec-train-idx", help="their index; --rec-train with the ending .idx unless given")
    group.add_argument("--rec-val", help="validation records (.rec)")
    group.add_argument("--rec-val-idx", help="their index; --rec-val with the ending .idx unless given")
    group.add_argument(
        "--benchmark", action="store_true", help="one synthetic batch over and over: what the network alone can do"
    )
    group.add_argument("--classes", type=count, help="number of classes; the data tells unless given")
    group.add_argument("--batch-size", type=count, default=32, help="images per device and step (32)")
    group.add_argument(
        "-j", "--num-data-workers", dest="num_workers", type=count, help="processes or threads that read images (4)"
    )
    add_preprocessing_options(parser)


def add_parameter_options(parser, required=False):
    """Where a trained network's parameters are."""
    exclusive = parser.add_mutually_exclusive_group(required=required)
    exclusive.add_argument("--params", metavar="FILE", help="parameter file of a run, or of an export")
    exclusive.add_argument("--use-pretrained", action="store_true", help="the published parameters")


def add_preprocessing_options(parser):
    """What an image goes through; the choices kept beside a parameter file go before the defaults."""
    group = parser.add_argument_group("preprocessing")
    group.add_argument("--input-size", type=count, help="height and width of the input; the network's unless given")
    group.add_argument("--crop-ratio", type=rate, help="validation crop / resized shorter edge (0.875)")
    group.add_argument("--normalization", choices=("dpn", "torchvision", "gluoncv"), help="mean and scale (dpn)")


def add_device_options(parser):
    """Which devices compute."""
    group = parser.add_argument_group("devices (with none of these: the CPU)")
    exclusive = group.add_mutually_exclusive_group()
    exclusive.add_argument("--num-gpus", type=whole, default=0, help="use this many GPUs")
    exclusive.add_argument("--gpus", type=numbers, help="use these GPUs, e.g. 0,2")
    exclusive.add_argument(
        "--cpu-contexts", type=count, default=1, help="data parallelism over this many CPU contexts, to rehearse GPUs"
    )


def uses_records(args):
    """Whether the data are RecordIO files; naming one is enough."""
    return bool(args.use_rec or args.rec_train or args.rec_val)
