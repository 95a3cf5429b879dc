"""Settings of the views of a video: the clips and crops whose mean is the result of the video."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.fields import SEED, VIEWS, Settings, documented, option, options_of

__all__ = ["PROTOCOLS", "Grid", "Protocol", "Views"]


@dataclasses.dataclass(frozen=True)
class Grid:
    """The number of clips and crops, and their places.

    Attributes
    ----------
    clips : int
        Clips of a video.
    crops : int
        Crops of a clip.
    clip_places : {"even", "random"}
        Even: from the first frame to the last at equal distances, a single one in the middle.
    crop_places : {"line", "mixed", "random"}
        Line: from one end of the longer edge to the other at equal distances, a single one in the middle; mixed: first
        the centre, then random ones.
    """

    clips: int = 1
    crops: int = 1
    clip_places: str = "even"
    crop_places: str = "line"


@dataclasses.dataclass(frozen=True)
class Protocol(Grid):
    """A grid by name; flags can replace its numbers.

    Attributes
    ----------
    input : dict
        Defaults of the input, by the names of the options.
    """

    input: typing.Mapping[str, typing.Any] = dataclasses.field(default_factory=dict)


PROTOCOLS = {
    "centre": Protocol(),
    # The first author's answer for Kinetics in the issues of his video code (GloRe).
    "author": Protocol(10, 5, crop_places="mixed"),
    # GluonCV's --num-segments 10 --three-crop.
    "three-crop": Protocol(10, 3),
    # The same as PySlowFast and mmaction2 take it: crops as high as the frames are after resizing.
    "three-crop-256": Protocol(10, 3, input={"input_size": 256, "crop_ratio": 1.0}),
    # The first author's answer for UCF-101 (MFNet).
    "ucf": Protocol(40, 1, clip_places="random", crop_places="random"),
}


@documented
@dataclasses.dataclass(frozen=True)
class Views(Settings):
    """The clips and crops of each video in an evaluation; by default the central clip and its centre crop."""

    name: str = option(
        "centre",
        "--test-views",
        choices=tuple(PROTOCOLS),
        help="views of each video: author 10 clips × 5 crops, three-crop 10 × 3, three-crop-256 the same with crops of "
        "256, ucf 40 random clips, centre one",
    )
    clips: int | None = option(
        None, "--test-clips", rule=VIEWS, metavar="K", help="clips of each video", default_words="that of --test-views"
    )
    crops: int | None = option(
        None, "--test-crops", rule=VIEWS, metavar="C", help="crops of each clip", default_words="that of --test-views"
    )
    seed: int = option(0, "--seed", rule=SEED, help="seed of random clips and crops")

    @property
    def protocol(self) -> Protocol:
        """The protocol of this name."""
        return PROTOCOLS[self.name]

    @property
    def given(self) -> list[str]:
        """Flags of the options that differ from their defaults."""
        return [
            one.flags[-1] for name, one in options_of(self).items() if getattr(self, name) != getattr(Views(), name)
        ]

    @property
    def defaults(self) -> dict[str, typing.Any]:
        """The defaults that follow from the protocol, by the names of the options."""
        protocol = self.protocol
        return {"test_clips": protocol.clips, "test_crops": protocol.crops, **protocol.input}
