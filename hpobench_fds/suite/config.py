"""Benchmark suites: TOML files as validated models, and the cells that they expand to.

::

    name = "digits"
    seeds = [0, 1, 2]                 # or "0-2"
    device = "auto"                   # auto, cpu, cuda, cuda:1

    [budget]                          # of each cell; seconds, and steps or epochs; the first reached ends it
    seconds = 10

    [limits]                          # optional: a cell that takes more is stopped and recorded failed
    seconds = 600                     # of wall-clock, all that a cell does
    memory_gb = 4                     # of its process

    [referee]                         # optional: what is retrained on all data, off every clock
    draws = 3                         # in so many fresh draws each (1)
    points = 4                        # so many incumbents of a run, the last among them, or "all" (1)

    [problems.digits-mlp]             # the keys of ProblemConfig
    dataset = "digits"
    horizon = 200
    space.lr = { windows = 5, low = -1.0, high = 1.0 }
    budget.seconds = 20               # optional; stands in place of the suite's whole budget
    targets = [0.9, 0.95]             # optional: test accuracies that methods are timed to; else shares of
                                      # the gap between where searching starts and the best that was reached

    [methods.fds]                     # a label, which is also the adapter's name unless that is given

    [methods.fds-adam]
    adapter = "fds"                   # a registered name, or my_method.py:MyMethod beside the suite
    outer.kind = "adam"               # every key but adapter and space is an option of the method

    [methods.tpe]
    space.lr = { family = "cosine", low = 0.01, high = 1.0, initial = 0.1, scale = "log" }
                                      # what this method searches in place of the problem's, key by key
"""

from __future__ import annotations

import re
import tomllib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from hpobench_fds.data.catalogue import DATASETS, TARGETS
from hpobench_fds.data.own import FORMS, find_own, is_own
from hpobench_fds.errors import InputError
from hpobench_fds.method.registry import options_as_data, parse_options, resolve
from hpobench_fds.nn.zoo import find_model
from hpobench_fds.suite.built_in import builtin_suites
from hpobench_fds.suite.cell import BUDGETS, LEAST_RETRAINED, BudgetConfig, Cell, RefereeConfig
from hpobench_fds.suite.code import code_of
from hpobench_fds.suite.limits import NO_LIMITS, Limits
from hpobench_fds.suite.spaces import replaced, with_space
from hpobench_fds.training.problem import ProblemConfig, too_many_windows, unknown_hyperparameter
from hpobench_fds.typed import dotted, shown, unknown, validated

MOST_SEEDS = 10_000  # a slip such as "0-1000000000" must not fill the memory
NAME_RULE = "letters, digits, '.', '_' and '-', no '.' at either end, at most 100, no device of Windows"
DEVICES = "auto, cpu, cuda, cuda:N"


# ----------------------------------------------------------------------------------- what is in a file


def parse_seeds(value: object) -> list[int]:
    """Seeds from a list, or from text such as "0-4" or "0,2,7-9". Raises ValueError."""
    if isinstance(value, str):
        seeds = [seed for part in value.split(",") for seed in _seed_range(part.strip())]
    elif isinstance(value, Sequence) and all(type(seed) is int for seed in value):
        seeds = list(value)
    else:
        raise ValueError(f'got {shown(value)} (allowed: a list such as [0, 1, 2], or "0-2")')
    if not seeds or min(seeds) < 0 or max(seeds) >= 2**63 or len(seeds) > MOST_SEEDS:
        raise ValueError(f"got {shown(value)} (allowed: 1 to {MOST_SEEDS} whole numbers from 0)")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seed {next(seed for seed in seeds if seeds.count(seed) > 1)} is there twice")
    return seeds


def _seed_range(text: str) -> Sequence[int]:
    match = re.fullmatch(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", text)
    if match is None:
        raise ValueError(f'got {shown(text)} (allowed: seeds such as "0-4" or "0,2,7-9")')
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last - first >= MOST_SEEDS:
        raise ValueError(f"got {shown(text)} (allowed: FIRST-LAST, FIRST <= LAST, {MOST_SEEDS} at most)")
    return range(first, last + 1)


def _safe(name: str) -> str:
    """Names become folders: nothing in them may lead elsewhere."""
    if not re.fullmatch(r"(?!\.)[A-Za-z0-9._-]{1,100}(?<!\.)", name) or _is_device(name):
        raise ValueError(f"the name {shown(name)} cannot be a folder (allowed: {NAME_RULE})")
    return name


def _is_device(name: str) -> bool:
    """Whether Windows takes a name for a device, whatever follows its first dot."""
    return re.fullmatch("con|prn|aux|nul|com[0-9]|lpt[0-9]", name.partition(".")[0].lower()) is not None


def _distinct(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in map(_safe, names):
        if other := seen.get(name.lower()):  # the same folder on some file systems
            raise ValueError(f"{other!r} and {name!r} differ in case alone")
        seen[name.lower()] = name


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda|cuda:[0-9]{1,3}", text):
        raise ValueError(f"got {shown(text)} (allowed: {DEVICES})")
    return text


_SEEDS_SCHEMA: dict[str, Any] = {
    "description": 'A list such as [0, 1, 2], or "0-2".',
    "anyOf": [
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
        {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?( *, *[0-9]+(-[0-9]+)?)*$"},
    ],
}


Target = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # a fraction, or bits a token


class _ProblemTable(ProblemConfig):
    budget: BudgetConfig | None = Field(default=None, description="In place of the suite's whole budget.")
    targets: tuple[Target, ...] | None = Field(
        default=None,
        min_length=1,
        description="Test metrics that methods are timed to: accuracies or R² as fractions, bits a token.",
    )

    def config(self) -> ProblemConfig:
        return ProblemConfig.model_validate(self.model_dump(exclude={"budget", "targets"}))


class _MethodTable(BaseModel):
    """A method by its label. Every key but ``adapter`` and ``space`` is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    adapter: str | None = Field(
        default=None, description="A registered method or FILE.py:CLASS; the label if it is not given."
    )
    space: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="What this method searches, laid over the space of every problem key by key.",
    )


class _SuiteTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_safe)] = Field(description=f"Also a folder: {NAME_RULE}.")
    seeds: Annotated[list[int], BeforeValidator(parse_seeds), WithJsonSchema(_SEEDS_SCHEMA)]
    device: Annotated[str, AfterValidator(_device)] = Field(default="auto", description=f"One of {DEVICES}.")
    budget: BudgetConfig | None = Field(default=None, description="Of each cell that has none of its own.")
    limits: Limits = Field(default=Limits(), description="Over which a cell is stopped and has failed.")
    referee: RefereeConfig = Field(default=RefereeConfig(), description="What is retrained, off every clock.")
    problems: dict[str, _ProblemTable] = Field(min_length=1, description="Problems by name.")
    methods: dict[str, _MethodTable] = Field(min_length=1, description="Methods by label.")

    @model_validator(mode="after")
    def _check(self) -> _SuiteTable:
        _distinct(self.problems)
        _distinct(self.methods)
        for name, problem in self.problems.items():
            if self.budget is None and problem.budget is None:
                raise ValueError(f"no budget for problem {name!r}: add [budget] {BUDGETS}")
        return self


# ---------------------------------------------------------------------------------- what is made of it


@dataclass(frozen=True)
class Suite:
    """A validated suite: its methods exist, and their options are theirs.

    ``where`` names its file in errors; ``base`` is the folder that paths of adapters and models are
    relative to.
    """

    name: str
    seeds: tuple[int, ...]
    device: str
    problems: dict[str, tuple[ProblemConfig, BudgetConfig]]
    methods: dict[str, tuple[str, dict[str, Any]]]  # label: adapter, effective options
    where: str
    base: Path
    limits: Limits = NO_LIMITS
    referee: RefereeConfig = LEAST_RETRAINED
    own: Mapping[tuple[str, str], ProblemConfig] = field(default_factory=dict)  # by label and problem
    targets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # by problem, where it names any

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], *, where: object = "suite", base: Path | None = None
    ) -> Suite:
        """Validate what a TOML file holds. Raises InputError."""
        _check_hyperparameters(data, where)
        table = validated(_SuiteTable, data, where=where)
        base = base or Path()
        own = _own_spaces(table, where)
        for name, problem in table.problems.items():
            _check_names(problem, where, base, dotted("problems", location=[name]))
            _check_targets(problem, where, dotted("problems", location=[name]))
        return cls(
            name=table.name,
            seeds=tuple(table.seeds),
            device=table.device,
            problems={
                # The validator has seen to it that one of the two is there.
                name: (problem.config(), problem.budget or table.budget or BudgetConfig())
                for name, problem in table.problems.items()
            },
            methods={label: _method(label, method, where, base) for label, method in table.methods.items()},
            where=str(where),
            base=base,
            limits=table.limits,
            referee=table.referee,
            own=own,
            targets={name: one.targets for name, one in table.problems.items() if one.targets},
        )

    def cells(
        self,
        *,
        problems: str | Iterable[str] | None = None,
        methods: str | Iterable[str] | None = None,
        seeds: object = None,
    ) -> list[Cell]:
        """Every cell in a fixed order: by problem, then seed, then method, so that methods stay abreast.

        ``problems`` and ``methods`` keep those only; ``seeds`` (a list, or "0-4") stand in place of the
        suite's. The digests of users' files are those of now.
        """
        labels = self._among("method", methods, self.methods)
        wanted = self.seeds if seeds is None else [seeds] if isinstance(seeds, int) else seeds
        try:
            numbers = parse_seeds(wanted)
        except ValueError as error:
            raise InputError(str(error), key="seeds") from error
        return [
            self._cell(problem, label, seed)
            for problem in self._among("problem", problems, self.problems)
            for seed in numbers
            for label in labels
        ]

    def _cell(self, problem: str, label: str, seed: int) -> Cell:
        config, budget = self.problems[problem]
        config = self.own.get((label, problem), config)
        adapter, options = self.methods[label]
        return Cell(
            self.name, problem, config, label, adapter, options, seed, budget, self.base, self.referee,
            code_of(adapter, config.model, config.dataset, self.base),
        )  # fmt: skip

    def _among(self, kind: str, wanted: str | Iterable[str] | None, known: Mapping[str, Any]) -> list[str]:
        """Those of its problems or methods that are wanted, in the suite's order. Raises InputError."""
        if wanted is None:
            return list(known)
        names = [name.strip() for name in wanted.split(",")] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name not in known:
                text = f"{unknown(kind, name, known)} in {self.where}"
                raise InputError(text, key=f"{kind}s", allowed=known)
        return [name for name in known if name in names]

    def describe(self) -> dict[str, Any]:
        """What decides the outcome of its cells, as plain data; ``suite.json`` keeps it."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "problems": {
                name: {
                    "config": config.model_dump(mode="json"),
                    "budget": budget.model_dump(mode="json"),
                    **({"targets": list(self.targets[name])} if name in self.targets else {}),
                }
                for name, (config, budget) in self.problems.items()
            },
            "methods": {
                label: {"adapter": adapter, "options": options, **self._spaces(label)}
                for label, (adapter, options) in self.methods.items()
            },
        }

    def _spaces(self, label: str) -> dict[str, Any]:
        """A method's own space by problem, if it has any."""
        spaces = {
            problem: replaced(config, self.own[label, problem])
            for problem, (config, _) in self.problems.items()
            if (label, problem) in self.own
        }
        return {"space": spaces} if spaces else {}


def _check_hyperparameters(data: Mapping[str, Any], where: object) -> None:
    """Names of hyperparameters, before what is in their tables, which may be wrong in other ways as well."""
    problems = data.get("problems")
    for name, table in problems.items() if isinstance(problems, Mapping) else ():
        space = table.get("space") if isinstance(table, Mapping) else None
        optimiser = table.get("optimiser", "sgd") if isinstance(table, Mapping) else ""
        names = map(str, space) if isinstance(space, Mapping) and isinstance(optimiser, str) else ()
        if (unknown := unknown_hyperparameter(optimiser, names)) is not None:
            raise InputError(unknown, where=where, key=dotted("problems", location=[str(name), "space"]))


def _check_targets(problem: _ProblemTable, where: object, key: str) -> None:
    """Fractions are at most 1; of bits a token there may be any number."""
    metric = problem.trained_for.metric
    for i, target in enumerate(problem.targets or ()):
        if target > 1 and metric.higher_is_better:
            allowed = f"1 or less, the {metric.name} as a fraction"
            raise InputError(f"got {target:g}", where=where, key=f"{key}.targets[{i}]", allowed=allowed)


def _check_names(problem: ProblemConfig, where: object, base: Path, key: str) -> None:
    """Names that only code knows, which pydantic cannot check."""
    if problem.dataset not in DATASETS and is_own(problem.dataset):
        targets = TARGETS[problem.loss or "cross_entropy"]
        find_own(problem.dataset, base, targets, where=where, key=f"{key}.dataset")
    elif problem.dataset not in DATASETS:
        wrong = unknown("dataset", problem.dataset, DATASETS)
        raise InputError(wrong, where=where, key=f"{key}.dataset", allowed=[*DATASETS, FORMS])
    find_model(problem.model, base=base, where=where, key=f"{key}.model")
    too_many = problem.horizon is not None and too_many_windows(problem.space, problem.horizon)
    if too_many:
        raise InputError(too_many, where=where, key=key)


def _own_spaces(table: _SuiteTable, where: object) -> dict[tuple[str, str], ProblemConfig]:
    """The problems as methods with a space of their own see them, by label and problem."""
    return {
        (label, name): with_space(
            problem.config(), method.space, where=where, key=dotted("methods", location=[label, "space"])
        )
        for label, method in table.methods.items()
        if method.space
        for name, problem in table.problems.items()
    }


def _method(label: str, table: _MethodTable, where: object, base: Path) -> tuple[str, dict[str, Any]]:
    key = dotted("methods", location=[label])
    adapter = table.adapter or label
    options = table.model_extra or {}
    method = resolve(adapter, base=base, where=where, key=f"{key}.adapter" if table.adapter else key)
    return adapter, options_as_data(parse_options(method, options, where=where, key=key))


def suite_schema() -> dict[str, Any]:
    """The JSON schema of a suite file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Benchmark suite",
        **{key: value for key, value in _SuiteTable.model_json_schema().items() if key != "title"},
    }


# --------------------------------------------------------------------------------------- reading files


def load_suite(path_or_name: str | Path) -> Suite:
    """A suite from a TOML file, or a built-in one by name (a file of that name goes first).

    Raises
    ------
    InputError : one line that names the file, the key, the bad value and what is allowed.
    """
    path = Path(path_or_name)
    name = str(path_or_name)
    if path.is_file():
        try:
            return _parse(path.read_bytes(), where=path, base=path.parent)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    if name in builtin_suites():
        content = resources.files("hpobench_fds.benchmarks").joinpath(f"{name}.toml").read_bytes()
        return _parse(content, where=f"{name} (built in)", base=Path())
    known = builtin_suites()
    if path.is_dir():
        raise InputError("a folder, not a suite file", where=path, allowed="a .toml file")
    near = unknown("built-in suite", name, known) if path.suffix != ".toml" else "no such file"
    raise InputError(near, where=path, allowed=f"a .toml file, or a built-in suite: {', '.join(known)}")


def _parse(content: bytes, *, where: object, base: Path) -> Suite:
    text = content.removeprefix(BOM_UTF8)  # editors of Windows put one before UTF-8
    try:
        data = tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text: byte {error.start} is {text[error.start]:#04x}"
        if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            problem = f"{problem}: UTF-16 by its byte order mark, save it as UTF-8"
        raise InputError(problem, where=where) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"malformed TOML: {error}", where=where) from error
    except RecursionError as error:
        raise InputError("malformed TOML: nested too deep", where=where) from error
    return Suite.from_dict(data, where=where, base=base)
