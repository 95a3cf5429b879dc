"""Installation of a2net-gluon. Version ranges are here, the tested pinned sets in requirements/."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "a2net_gluon" / "__init__.py").read_text()).group(1)

VIDEO = ["av>=12.3,<12.4"]  # the one version with wheels for Python 3.8 to 3.12
SAFETENSORS = ["safetensors>=0.4.3,<1"]
TEST = ["pytest>=7,<9", "pytest-xdist>=3.5,<4", *SAFETENSORS, *VIDEO]
# The last releases of mypy and import-linter for Python 3.8.
LINT = ["ruff==0.8.6", "mypy==1.14.1", "import-linter==2.0", "types-PyYAML", "types-requests", "types-tqdm"]


def package_page() -> str:
    """The README for a package index, where its pictures and links to other files would lead nowhere."""
    text = re.sub(r"!\[[^\]]*\]\(.*?\)\n+", "", (HERE / "README.md").read_text(encoding="utf-8"))
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)([^)#]+)[^)]*\)", r"\1 (`\2`)", text)
    return text.replace("\n\n", "\n\nFiles that this page names are in the source distribution.\n\n", 1)


setup(
    name="a2net-gluon",
    version=VERSION,
    description="A²-Nets: Double Attention Networks (NeurIPS 2018) for MXNet/Gluon",
    long_description=package_page(),
    long_description_content_type="text/markdown",
    keywords="A2-Nets, double attention, MXNet, Gluon, GluonCV, image classification, video classification, ONNX",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: GPU :: NVIDIA CUDA :: 11.2",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(8, 13)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["a2net_gluon", "a2net_gluon.*"]),
    package_data={
        "a2net_gluon": ["py.typed", "recipes/*.yaml", "recipes/clips/*.yaml", "grids/*.yaml", "pretrained/*"],
        "a2net_gluon.deploy": ["templates/*"],
        "a2net_gluon.insight": ["templates/*"],
    },
    python_requires=">=3.8,<3.13",
    install_requires=[
        "gluoncv>=0.10.5,<0.11",
        # mxnet 1.9.1 needs numpy 1; from 1.24 on it also needs an alias that importing a2net_gluon sets
        'numpy>=1.18,<1.24; python_version < "3.12"',
        'numpy>=1.26,<1.27; python_version >= "3.12"',
        "opencv-python>=4.11,<4.12",  # decodes to RGB directly
        "Pillow>=9",
        "portalocker>=2",
        "requests>=2.20",
        "PyYAML>=5.4",
        "matplotlib>=3.6,<3.11",
        "scikit-learn>=1.2,<1.6",
        "scipy>=1.7,<1.14",
        "tqdm>=4.60",
        # mxnet and gluoncv import distutils, which Python 3.12 no longer has
        'setuptools<81; python_version >= "3.12"',
    ],
    extras_require={
        # Two builds of one module: install only one of them.
        "cpu": ["mxnet==1.9.1"],
        "cu112": [
            "mxnet-cu112==1.9.1",
            "nvidia-cublas-cu11==11.11.3.6",
            "nvidia-cuda-nvrtc-cu11==11.8.89",
            "nvidia-cuda-runtime-cu11==11.8.89",
            "nvidia-cudnn-cu11==8.9.6.50",
            "nvidia-cufft-cu11==10.9.0.58",
            "nvidia-curand-cu11==10.3.0.86",
            "nvidia-cusolver-cu11==11.4.1.48",
            "nvidia-cusparse-cu11==11.7.5.86",
            "nvidia-nccl-cu11==2.21.5",
            "nvidia-nvtx-cu11==11.8.86",
        ],
        "dali": ["nvidia-dali-cuda110==1.34.0"],  # 0.5 GB; the last that has a build for CUDA 11.2's drivers
        "onnx": ["onnx>=1.16,<1.17", "onnxruntime>=1.19,<1.20", "protobuf<5"],
        "safetensors": SAFETENSORS,
        "tensorboard": ["tensorboardX>=2.5,<3"],
        "video": VIDEO,
        "test": TEST,
        "dev": [*TEST, *LINT, "tensorboardX>=2.5,<3"],
    },
    entry_points={"console_scripts": ["a2net=a2net_gluon.cli:main"]},
)
