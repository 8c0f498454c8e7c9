"""Recipes: find one, read its settings, run it.

A recipe is one file with a docstring, a frozen dataclass `Config`, a mapping `TINY` of settings
that make it small, and `main(config, out)`. `NAME.yaml` beside it changes defaults.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Union, get_args, get_origin

from sciml import config as settings
from sciml import own
from sciml.errors import InputError, nearest, unknown
from sciml.files import claims, locks
from sciml.paths import atomic_write, existing_file, tasks_dir
from sciml.renamed import present_flags

COMMON = """
options of every recipe:
  --out DIR      where everything goes (default: runs/NAME); the same command resumes there
  --config FILE  settings as YAML, in place of the recipe's own
  --tiny         the whole recipe in about a minute, to see that it runs
  --restart      train again where the checkpoints in OUT are damaged, instead of refusing
  --submit slurm hand the run to SLURM: --nodes N --gpus G --time T --partition P ...
                 (--dry-run only prints the batch script)
  --launcher ray train on the workers of a Ray cluster (--workers N; extra: ray)
"""
LAUNCHERS = ("ray",)
"""Engines that start the processes of a run; without one, it is this process or torchrun's."""


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in tasks_dir().glob("*.py") if not path.stem.startswith("_"))


def recipes_with(setting: str) -> list[str]:
    """The recipes that have a setting, by the text of their files: none is imported."""
    line = re.compile(rf"^    {re.escape(setting)}: ", re.MULTILINE)
    return [n for n in names() if line.search((tasks_dir() / f"{n}.py").read_text("utf-8"))]


@dataclass(frozen=True)
class Recipe:
    """A recipe's file and module."""

    name: str
    path: Path
    module: ModuleType

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.module.__doc__ or "").strip().splitlines()[0]

    def config(self, yaml: Path | None = None, tiny: bool = False) -> Any:
        """The settings before flags: defaults, then YAML, then `TINY`."""
        beside = self.path.with_suffix(".yaml")
        yaml = yaml or (beside if beside.exists() else None)
        value = settings.load_yaml(self.module.Config, yaml) if yaml else self.module.Config()
        return settings.replace(value, self.module.TINY, where=self.path) if tiny else value


def load(name_or_path: str) -> Recipe:
    """A recipe by name, or your own script by path.

    Raises:
        InputError: no such recipe, or the file lacks `Config` or `main`.
    """
    if name_or_path.endswith(".py"):
        path = existing_file(name_or_path, "recipe").resolve()
    elif name_or_path in names():
        path = tasks_dir() / f"{name_or_path}.py"
    else:
        raise unknown("recipe", name_or_path, names(), hint="`sciml recipes list` shows them all")
    spec = importlib.util.spec_from_file_location(f"sciml_recipe_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses resolve their annotations through sys.modules.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    missing = [part for part in ("Config", "main", "TINY") if not hasattr(module, part)]
    if missing:
        raise InputError(
            f"is not a recipe: it lacks {', '.join(missing)}",
            where=path,
            hint="`sciml recipes copy jet_tagging my_recipe.py` gives one to start from",
        )
    return Recipe(path.stem, path, module)


def copy(name: str, target: Path) -> list[Path]:
    """Copy a recipe and its YAML to `target`, where they run unchanged; never overwrites."""
    recipe = load(name)
    target = target if target.suffix == ".py" else target / f"{recipe.name}.py"
    sources = [path for path in (recipe.path, recipe.path.with_suffix(".yaml")) if path.exists()]
    goals = [target.with_suffix(source.suffix) for source in sources]
    for goal in goals:
        if goal.exists():
            raise InputError("exists already", where=goal, hint="Choose another name")
    for source, goal in zip(sources, goals, strict=True):
        with atomic_write(goal) as temporary:
            shutil.copyfile(source, temporary)
    return goals


def parse_flags(cls: type, flags: Sequence[str]) -> dict[str, Any]:
    """`--train.lr 0.1 --seeds 0 1 2 --no-compile` as dotted names to plain values.

    Raises:
        InputError: names every unknown flag at once, with the nearest valid one.
    """
    import yaml

    types = _dotted(cls)
    problems: list[str] = []
    values: dict[str, Any] = {}
    position = 0
    while position < len(flags):
        flag = flags[position]
        position += 1
        if not flag.startswith("--"):
            problems.append(f"unexpected argument {flag!r}")
            continue
        name, equals, text = flag[2:].partition("=")
        name = name.replace("-", "_")
        words = [text] if equals else []
        while not equals and position < len(flags) and not flags[position].startswith("--"):
            words.append(flags[position])
            position += 1
        negated = name.rpartition(".")
        positive = f"{negated[0]}{negated[1]}{negated[2].removeprefix('no_')}"
        if name not in types and positive in types and not words:
            values[positive] = False
            continue
        if name not in types:
            problems.append(f"unknown option --{_flag(name)}{_meant(name, types)}")
            continue
        if not words or types[name] is str:
            values[name] = " ".join(words) if words else True
            continue
        try:
            if get_origin(types[name]) in (tuple, list):
                parsed = [yaml.safe_load(word) for word in words]
                single = len(parsed) == 1 and isinstance(parsed[0], list)
                values[name] = parsed[0] if single else parsed
            else:
                values[name] = yaml.safe_load(" ".join(words))
        except (yaml.YAMLError, ValueError, RecursionError):
            problems.append(f"--{_flag(name)} {' '.join(words)!r} is not valid YAML")
    if problems:
        raise InputError("; ".join(problems), hint="`--help` shows every setting")
    return values


def _meant(name: str, types: Mapping[str, Any]) -> str:
    """What an unknown option may have been: another recipe's, or one with a similar name."""
    if others := recipes_with(name):
        return f", a setting of {', '.join(others)}"
    close = nearest(name, types)
    return f", did you mean --{_flag(close[0])}?" if close else ""


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _dotted(cls: type, prefix: str = "") -> dict[str, Any]:
    """All settings of a dataclass by dotted name, `Annotated` and `Optional` taken off."""
    types: dict[str, Any] = {}
    for name, hint in settings.field_types(cls).items():
        while hasattr(hint, "__metadata__"):
            hint = get_args(hint)[0]
        members = [a for a in get_args(hint) if a is not type(None)]
        if get_origin(hint) in (Union, type(int | None)):
            for member in filter(dataclasses.is_dataclass, members):
                types |= _dotted(member, f"{prefix}{name}.")  # type: ignore[arg-type]
            hint = members[0] if len(members) == 1 else hint
        if dataclasses.is_dataclass(hint):
            types |= _dotted(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        types[f"{prefix}{name}"] = hint
    return types


@dataclass(frozen=True)
class Request:
    """What a command line asks of a recipe.

    Attributes:
        config: all settings.
        out: the run's folder.
        command: the command line, to repeat it.
        restart: train again where the checkpoints are damaged.
        help: only show the settings.
        launcher: `ray`, or none for this process.
        workers: processes that a launcher starts.
        arguments: those of the recipe alone, without launcher.
    """

    config: Any
    out: Path
    command: str
    restart: bool
    help: bool
    launcher: str | None
    workers: int
    arguments: tuple[str, ...]


def parse(recipe: Recipe, arguments: Sequence[str], check_devices: bool = True) -> Request:
    """The settings and options of `sciml run RECIPE ARGUMENTS`.

    `check_devices` is for runs on this machine.

    Raises:
        InputError: a wrong argument, or a device that is not there.
    """
    import argparse

    launch = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    launch.add_argument("--launcher", choices=LAUNCHERS)
    launch.add_argument("--workers", type=int)
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    common.add_argument("--tiny", action="store_true")
    common.add_argument("--restart", action="store_true")
    common.add_argument("--config", type=Path)
    common.add_argument("--out", type=Path)
    common.add_argument("--help", "-h", action="store_true")
    try:
        launched, own_arguments = launch.parse_known_args(list(arguments))
        chosen, flags = common.parse_known_args(own_arguments)
    except argparse.ArgumentError as error:
        raise InputError(str(error)) from error
    if launched.workers is not None and launched.launcher is None:
        raise InputError("--workers needs a launcher", hint="Name it: --launcher ray")
    if launched.workers is not None and launched.workers < 1:
        raise InputError(f"--workers must be >= 1, got {launched.workers}")
    config = recipe.config(chosen.config, chosen.tiny)
    if not chosen.help:
        flags = present_flags(flags, settings.former_flags(type(config)))
        overrides = parse_flags(type(config), flags)
        config = settings.replace(config, overrides)
        if chosen.config:
            own.refuse_from_file(config, overrides, chosen.config)
        if check_devices:
            _check_devices(config)
    return Request(
        config,
        chosen.out or Path("runs") / (recipe.name + ("-tiny" if chosen.tiny else "")),
        shlex.join(["sciml", "run", recipe.name, *arguments]),
        chosen.restart,
        chosen.help,
        launched.launcher,
        launched.workers or 1,
        tuple(own_arguments),
    )


def run(recipe: Recipe, arguments: Sequence[str]) -> None:
    """Run a recipe with command line arguments; claims OUT before anything is written there.

    Raises:
        InputError: a wrong argument or input, OUT is in use or holds another run. A run that is
            refused before it has kept a result leaves OUT as it was.
    """
    request = parse(recipe, arguments)
    if request.help:
        _print_help(recipe, request.config)
    elif request.launcher == "ray":
        from sciml.launch import ray_run

        ray_run.run(recipe, request)
    else:
        _run(recipe, request.config, request.out, request.command, request.restart)


def _run(recipe: Recipe, config: Any, out: Path, command: str, restart: bool) -> None:
    from sciml.train import log
    from sciml.train.parallel import rank_and_world
    from sciml.train.state import RESTART

    if rank_and_world()[0] != 0:  # rank 0 has the lock and writes the claim
        recipe.module.main(config, out)
        return
    before = RESTART.set(restart)
    try:
        with locks.locked(out):
            with claims.unless_refused(out):
                claims.claim(out, recipe.name, config, command)
                recipe.module.main(config, out)
            kept_settings = claims.settings_file(out)
            if kept_settings.name != "config.yaml":  # the user has one
                log.console.print(f"all settings of this run: {kept_settings}", soft_wrap=True)
            locks.remove_leftovers(out)
    finally:
        RESTART.reset(before)


def _check_devices(config: Any) -> None:
    """Refuse a missing device or precision at once, before any part has run."""
    from sciml.device import choose
    from sciml.train import TrainConfig

    if isinstance(config, TrainConfig):
        choose(config.device, "bf16" if config.precision == "fp16" else config.precision)
    elif dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            _check_devices(getattr(config, field.name))


def _mappings(config: Any, prefix: str = "") -> Iterator[str]:
    """A help text for every setting that is an empty mapping, of which tyro shows nothing."""
    import docstring_parser

    described = docstring_parser.parse_from_object(type(config)).params
    texts = {parameter.arg_name: " ".join((parameter.description or "").split())
             for parameter in described}  # fmt: skip
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _mappings(value, f"{name}.")
        elif value == {}:
            yield f"  --{_flag(name)} YAML\n      {texts[field.name]}"


def _print_help(recipe: Recipe, config: Any) -> None:
    import tyro

    description = f"{(recipe.module.__doc__ or '').strip()}\n{COMMON}"
    if mappings := "\n".join(_mappings(config)):
        description += f"\noptions that take a mapping:\n{mappings}\n"
    with contextlib.suppress(SystemExit):  # how a parser ends its help
        tyro.cli(
            type(config),
            default=config,
            args=["--help"],
            prog=f"sciml run {recipe.name}",
            description=description,
        )
