"""A problem: dataset, model, horizon, inner optimiser and the space of schedules that is tuned.

``Problem`` is all that a method sees. It holds no test data: the referee alone has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor

from hpobench_fds.data.augment import Augmentation
from hpobench_fds.data.catalogue import TARGETS, load_dataset
from hpobench_fds.data.dataset import Dataset
from hpobench_fds.data.label_noise import with_label_noise
from hpobench_fds.data.splits import make_split
from hpobench_fds.data.stream import DECAY, INPUTS, NOISE, STREAM, GaussianStream
from hpobench_fds.data.text import AS_USUAL, Reading, Tokens
from hpobench_fds.errors import InputError
from hpobench_fds.nn.losses import Loss, loss_of
from hpobench_fds.nn.network import Network
from hpobench_fds.nn.zoo import build_network
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace
from hpobench_fds.training.device_policy import POLICY
from hpobench_fds.training.optimisers import RULES, StepRule

LOOK_EVERY = 50  # inner steps between looks at losses and budget, where an inner epoch has that many
STREAM_EPOCH = LOOK_EVERY  # inner steps that are called an epoch of a stream, which never comes round
MOST_INPUTS = 1000  # of a stream: more are no quick problem
MOST_EPOCHS = 1e9  # more come to no number of steps

# The paper's ranges and first steps: linear, with negative values and zero, from 0.
PAPER_SPACE: dict[str, HyperparameterSpace] = {
    "lr": HyperparameterSpace(windows=7, low=-1.0, high=1.0, step=0.1),
    "momentum": HyperparameterSpace(low=-1.5, high=1.5, step=0.1),
    "weight_decay": HyperparameterSpace(low=-4e-3, high=4e-3, step=3e-4),
}


class AugmentationConfig(BaseModel):
    """Random crop after zero padding, horizontal flip, cutout; all off by default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    crop_padding: int = Field(default=0, ge=0)  # pixels
    flip: bool = False
    cutout: int = Field(default=0, ge=0)  # side in pixels
    cutout_probability: float = Field(default=1.0, ge=0.0, le=1.0)

    def made(self) -> Augmentation:
        return Augmentation(self.crop_padding, self.flip, self.cutout, self.cutout_probability)


class TextConfig(BaseModel):
    """How a text becomes examples: what a token is, and how many an example has."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tokens: Tokens = AS_USUAL.tokens
    context: int = Field(default=AS_USUAL.context, ge=1, le=100_000)

    def made(self) -> Reading:
        return Reading(self.tokens, self.context)


class StreamConfig(BaseModel):
    """The law of ``gaussian_stream``: inputs of variances i^-decay, or as listed, and the share of noise."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    inputs: int = Field(default=INPUTS, ge=1, le=MOST_INPUTS)
    decay: float = Field(default=DECAY, ge=0.0, le=10.0)
    spectrum: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        default=None, min_length=1, max_length=MOST_INPUTS, description="In place of inputs and decay."
    )
    noise: float = Field(default=NOISE, gt=0.0, lt=1.0, description="Of the targets' variance, 1.")

    @model_validator(mode="after")
    def _check(self) -> StreamConfig:
        if self.spectrum is not None and self.model_fields_set & {"inputs", "decay"}:
            raise ValueError("spectrum: give it, or inputs and decay")
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What the spectrum stands in place of is left out, and it where it is not given."""
        left = {"spectrum"} if self.spectrum is None else {"inputs", "decay"}
        return {name: one for name, one in handler(self).items() if name not in left}

    def made(self) -> GaussianStream:
        if self.spectrum is not None:
            return GaussianStream.of(self.spectrum, self.noise)
        return GaussianStream.power_law(self.inputs, self.decay, self.noise)


class ProblemConfig(BaseModel):
    """One problem of a suite, as the suite file states it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: str
    model: str = "mlp"
    horizon: int | None = Field(default=None, ge=1)  # inner steps
    epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)  # in passes over the training split
    # Of the referee's retraining, over all training data; None: as many inner steps as the horizon.
    final_epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)
    batch_size: int = Field(default=128, ge=1)
    optimiser: str = "sgd"
    validation_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    objective: Literal["val_loss", "val_accuracy"] = "val_loss"
    # What is trained for; None: cross-entropy. Smoothing is of cross-entropy in training alone.
    loss: Literal["cross_entropy", "squared_error", "next_token"] | None = None
    label_smoothing: float | None = Field(default=None, ge=0.0, lt=1.0)
    text: TextConfig | None = None  # of a data set that is a text; None: characters, 64 at a time
    # Probability of a wrong label in training and validation; None: labels as they are.
    label_noise: float | None = Field(default=None, gt=0.0, lt=1.0)
    stream: StreamConfig | None = None  # of the data set gaussian_stream; None: as it is by default
    fresh: bool = True  # a new initialisation, split and batch order for every trial (the paper's way)
    gradient_clip: float | None = Field(default=None, gt=0)  # elementwise, in the inner step
    augmentation: AugmentationConfig = AugmentationConfig()
    train_limit: int | None = Field(default=None, ge=2)  # use only that many training examples
    test_limit: int | None = Field(default=None, ge=1)
    dtype: Literal["float32", "float64"] = "float32"
    space: dict[str, HyperparameterSpace] = Field(default_factory=lambda: dict(PAPER_SPACE))

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Problems that state nothing of what came later are written as they were before."""
        came_later = ("loss", "label_smoothing", "text", "label_noise", "stream")
        return {name: one for name, one in handler(self).items() if one is not None or name not in came_later}

    @property
    def trained_for(self) -> Loss:
        return loss_of(self.loss or "cross_entropy", self.label_smoothing or 0.0)

    @property
    def reading(self) -> Reading:
        return (self.text or TextConfig()).made()

    @property
    def law(self) -> GaussianStream | None:
        """Of a stream; None of a data set."""
        return (self.stream or StreamConfig()).made() if self.dataset == STREAM else None

    @model_validator(mode="after")
    def _check_data(self) -> ProblemConfig:
        if self.label_noise is not None and self.loss not in (None, "cross_entropy"):
            raise ValueError(f"label_noise: {self.loss} has no classes (allowed: cross_entropy)")
        if self.dataset != STREAM:
            if self.stream is not None:
                raise ValueError(f"stream: {self.dataset} is none (allowed: {STREAM})")
            return self
        if self.loss != "squared_error":
            raise ValueError(f'{STREAM} has numbers for targets (allowed: loss = "squared_error")')
        for name in ("train_limit", "test_limit", "validation_fraction"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {STREAM} has no end, and is validated by its law")
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> ProblemConfig:
        if self.text is not None and self.loss != "next_token":
            raise ValueError('text: of next tokens alone (allowed: loss = "next_token")')
        if self.loss in (None, "cross_entropy"):
            return self
        if self.label_smoothing is not None:
            raise ValueError(f"label_smoothing: {self.loss} has none (allowed: cross_entropy)")
        if self.objective != "val_loss":
            raise ValueError(
                f"objective = {self.objective!r}: {self.loss} has no accuracy (allowed: val_loss)"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> ProblemConfig:
        if (self.horizon is None) == (self.epochs is None):
            raise ValueError("give either horizon (inner steps) or epochs, not both and not neither")
        if self.optimiser not in RULES:
            raise ValueError(f"unknown optimiser {self.optimiser!r} (allowed: {', '.join(RULES)})")
        if (unknown := unknown_hyperparameter(self.optimiser, self.space)) is not None:
            if "space" not in self.model_fields_set:
                allowed = ", ".join(RULES[self.optimiser].defaults)
                raise ValueError(
                    f"space: there is none for {self.optimiser} unless given (allowed: {allowed})"
                )
            raise ValueError(unknown)
        if not any(space.learn for space in self.space.values()):
            raise ValueError("space: nothing to tune, every hyperparameter has learn = false")
        return self

    def schedule_space(self) -> ScheduleSpace:
        """The space with hyperparameters that the config leaves out held at the rule's default."""
        return ScheduleSpace(
            {
                name: self.space.get(name, HyperparameterSpace(initial=value, learn=False))
                for name, value in RULES[self.optimiser].defaults.items()
            }
        )


def unknown_hyperparameter(optimiser: str, names: Iterable[str]) -> str | None:
    """Which name is no hyperparameter of an optimiser, in words; None if all are, or it is not known."""
    wanted = RULES[optimiser].defaults if optimiser in RULES else {}
    first = next((name for name in sorted(names) if wanted and name not in wanted), None)
    return first and f"{optimiser} has no hyperparameter {first!r} (allowed: {', '.join(wanted)})"


def too_many_windows(space: Mapping[str, HyperparameterSpace], horizon: int) -> str | None:
    """Which hyperparameter has windows without a single inner step, in words; None if none has."""
    for name, one in space.items():
        if one.windows > horizon:
            return f"space.{name}.windows: got {one.windows} (allowed: at most {horizon}, the inner steps)"
    return None


@dataclass(frozen=True)
class TestData:
    """The test split, for the referee.

    least : the least expected loss of any schedule in the problem's space, where it can be known; else None.
    """

    __test__ = False  # not a test case

    x: Tensor
    y: Tensor
    least: float | None = None


class Problem:
    """What a method works on: training data on the device, network, step rule, horizon, space.

    Attributes
    ----------
    x, y : training examples [N, ...] and labels [N]; a trial splits them into training and validation.
        Other problems on the same data have the same tensors.
    stream : whose batches are drawn afresh, if the data are one; x and y are then what stands for its law,
        all for validation. None of other data.
    horizon : inner steps T of one training; final_horizon : those of the referee's retraining.
    software : versions of the packages that brought the data.
    look_every : inner steps between looks at losses and budget; at most an inner epoch.
    graphs : whether a stretch of alike inner steps is played from a recording, on a GPU.
    """

    def __init__(
        self, config: ProblemConfig, dataset: Dataset, name: str = "problem", base: Path | None = None
    ) -> None:
        self.name, self.base = name, base
        self.config, self.stream = config, config.law
        self.x, self.y = dataset.x_train, dataset.y_train
        self.black, self.labels, self.digest = dataset.black, dataset.labels, dataset.digest
        self.software = dataset.software
        self.classes = dataset.classes
        self.device, self.dtype = self.x.device, dataset.dtype
        codes = 0
        if not self.dtype.is_floating_point:
            self.dtype, codes = getattr(torch, config.dtype), _codes(dataset, name)
        shape = tuple(self.x.shape[1:])
        self.objective = config.trained_for
        self.network: Network = build_network(
            config.model, shape, dataset.classes, base, codes, self.objective
        )
        self.rule: StepRule = RULES[config.optimiser]
        self.graphs = (
            POLICY.graphs and self.device.type == "cuda" and self.network.recordable and self.rule.alike
        )
        self.space = config.schedule_space()
        self.batch_size = config.batch_size
        self.augmentation = config.augmentation.made()
        if self.augmentation.active and not (self.x.dim() == 4 and self.x.is_floating_point()):
            told = f"for examples of shape {shape}"
            raise InputError(told, where=name, key="augmentation", allowed="images [C, H, W]")
        self.validation_size, self.steps_per_epoch, final_epoch = self._sizes()
        self.look_every = min(LOOK_EVERY, self.steps_per_epoch)
        self.horizon = config.horizon or max(1, round((config.epochs or 1) * self.steps_per_epoch))
        self.final_horizon = self.horizon
        if config.final_epochs is not None:
            self.final_horizon = max(1, round(config.final_epochs * final_epoch))

    def _sizes(self) -> tuple[int, int, int]:
        """Examples for validation, and steps of an epoch: of a trial, and of the referee over all data."""
        if self.stream is not None:
            return len(self.y), STREAM_EPOCH, STREAM_EPOCH
        size = self.config.batch_size
        split = make_split(len(self.y), self.config.validation_fraction, 0, where=self.name)
        if size > (examples := len(split.train)):
            told = f"{size} is more than the {examples} training examples"
            raise InputError(told, where=self.name, key="batch_size")
        return len(split.validation), examples // size, len(self.y) // size

    def seen_as(self, config: ProblemConfig) -> Problem:
        """The same problem with another space, that of a method which has its own. Data are shared."""
        if config == self.config:
            return self
        if config.model_copy(update={"space": self.config.space}) != self.config:
            raise ValueError(f"{self.name}: another problem, not the same with another space")
        other = copy(self)
        other.config, other.space = config, config.schedule_space()
        return other


def _codes(dataset: Dataset, where: str) -> int:
    """One more than the largest code of a data set of codes. Raises InputError for one below 0."""
    low = min(int(dataset.x_train.min()), int(dataset.x_test.min()))
    if low < 0:
        raise InputError(f"holds the code {low}", where=where, key="dataset", allowed="0 or more")
    return 1 + max(int(dataset.x_train.max()), int(dataset.x_test.max()))


def data_key(config: ProblemConfig) -> tuple[object, ...]:
    """What decides a problem's data: problems alike in this may share them."""
    targets = TARGETS[config.loss or "cross_entropy"]
    limits, changes = (config.train_limit, config.test_limit), (config.label_noise, config.law)
    return config.dataset, targets, config.reading, config.dtype, *limits, *changes


def load_data(
    config: ProblemConfig,
    *,
    device: torch.device | str = "cpu",
    root: Path | None = None,
    download: bool = False,
    base: Path | None = None,
) -> Dataset:
    """A problem's data, on the device. Raises InputError as ``load_dataset`` does."""
    dtype = getattr(torch, config.dtype)
    if config.law is not None:
        return config.law.dataset(device, dtype)
    dataset = load_dataset(
        config.dataset,
        root=root,
        device=device,
        dtype=dtype,
        download=download,
        train_limit=config.train_limit,
        test_limit=config.test_limit,
        base=base,
        targets=TARGETS[config.loss or "cross_entropy"],
        reading=config.reading,
    )
    return dataset if config.label_noise is None else with_label_noise(dataset, config.label_noise)


def problem_of(
    config: ProblemConfig, dataset: Dataset, *, name: str = "problem", base: Path | None = None
) -> tuple[Problem, TestData]:
    """A problem on data that are loaded; the test split comes apart, for the referee.

    ``base`` is the folder that a model's path is relative to. Raises InputError for a model, a batch or
    windows that do not fit.
    """
    problem = Problem(config, dataset, name, base)
    if too_many := too_many_windows(config.space, problem.horizon):
        raise InputError(too_many, where=name)
    return problem, TestData(dataset.x_test, dataset.y_test)


def load_problem(
    config: ProblemConfig,
    *,
    name: str = "problem",
    device: torch.device | str = "cpu",
    root: Path | None = None,
    download: bool = False,
    base: Path | None = None,
) -> tuple[Problem, TestData]:
    """Load the data to the device, and the problem on them. Raises InputError as those two do."""
    dataset = load_data(config, device=device, root=root, download=download, base=base)
    return problem_of(config, dataset, name=name, base=base)
