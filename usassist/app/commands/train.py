"""The command ``usassist train``: from a recipe to an ONNX file with its manifest."""

from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import print_error
from usassist.common.signals import interrupt_on_signal
from usassist.errors import ConfigError

if TYPE_CHECKING:
    from usassist.training.recipe import Recipe
    from usassist.training.run import RunResult

__all__ = ["train"]


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe (TOML), for example recipes/thyroid_nodule_0.4.toml.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run (default: out/train/RECIPE); resumes from a checkpoint there."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for decoded and simulated frames (default: OUT/cache).")
    ] = None,
    start: Annotated[
        list[Path] | None, typer.Option(help="Folder of another run to start from; of several, from their mean.")
    ] = None,
    outlines: Annotated[
        Path | None, typer.Option(help="Folder of outlines that a teacher drew into the boxes (default: boxes alone).")
    ] = None,
    corrections: Annotated[
        list[Path] | None, typer.Option(help="Recorded session whose corrections are trained on; may be repeated.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="auto, bf16 or fp32 (default: that of the recipe; auto measures which is faster)."),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after so many passes through the frames with nodules.")
    ] = None,
) -> None:
    """Train an engine from a recipe, and export it to ONNX. Needs the extra `train` and the data sets."""
    try:
        with interrupt_on_signal():
            outcome = _run(recipe, out, cache, start or [], outlines, corrections or [], precision, epochs)
    except KeyboardInterrupt as stopped:
        print_error(str(stopped) or "stopped")
        raise typer.Exit(130) from None
    for path in (outcome.onnx_path, outcome.manifest_path):
        typer.echo(str(path))


def _run(
    recipe: Path,
    out: Path | None,
    cache: Path | None,
    start: list[Path],
    outlines: Path | None,
    corrections: list[Path],
    precision: str | None,
    epochs: float | None,
) -> RunResult:
    """Read the data, train and export, with the progress on standard error."""
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    try:
        from usassist.training.checkpoint import Progress as RunProgress
        from usassist.training.recipe import load_recipe
        from usassist.training.run import prepare, run_recipe
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed; install it with: pip install 'usassist[train]'") from error

    plan = load_recipe(recipe)
    if precision is not None:
        plan = dataclasses.replace(plan, optim=dataclasses.replace(plan.optim, precision=precision))
    folder = out or Path("out", "train", recipe.stem)
    console = Console(stderr=True)
    handler = RichHandler(console=console, show_path=False)
    own = logging.getLogger("usassist")
    before = own.level, own.propagate, list(own.handlers)
    own.setLevel(logging.INFO)
    own.propagate, own.handlers = False, [handler]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("reading and simulating frames", total=None)
            data = prepare(plan, cache or folder / "cache", outlines, corrections)
            if epochs is not None:
                plan = shortened(plan, epochs, len(data.frames.nodule))

            def on_step(progress: RunProgress) -> None:
                text = f"step {progress.step}  loss {progress.loss.get('total', float('nan')):.3f}"
                bar.update(task, completed=progress.share, total=1.0, description=text)

            return run_recipe(plan, folder, data=data, start_dirs=start, on_step=on_step)
    finally:
        own.setLevel(before[0])
        own.propagate, own.handlers = before[1], before[2]


def shortened(recipe: Recipe, epochs: float, frames: int) -> Recipe:
    """The recipe with a budget of ``epochs`` passes through ``frames`` frames with nodules, and no limit of time."""
    steps = math.ceil(epochs * frames / recipe.data.nodule_per_batch)
    optim = dataclasses.replace(recipe.optim, steps=steps, wall_clock_min=1e6)
    return dataclasses.replace(recipe, optim=optim)
