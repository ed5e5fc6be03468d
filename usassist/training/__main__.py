"""``python -m usassist.training RECIPE --out DIR``: train an engine and export it to ONNX."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from usassist.errors import UsAssistError
from usassist.training.checkpoint import Progress as RunProgress
from usassist.training.recipe import load_recipe
from usassist.training.run import run_recipe


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m usassist.training", description=__doc__)
    parser.add_argument("recipe", type=Path, help="TOML file, for example recipes/thyroid_nodule_0.1.toml")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, model.onnx and manifest.json")
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUT/cache)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    try:
        recipe = load_recipe(options.recipe)
        own = logging.getLogger("usassist")
        own.setLevel(logging.INFO)
        own.addHandler(RichHandler(console=console, show_path=False))
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("preparing", total=1.0)

            def watch(progress: RunProgress) -> None:
                text = f"step {progress.step}  loss {progress.loss.get('total', float('nan')):.3f}"
                bar.update(task, completed=progress.share, description=text)

            outcome = run_recipe(recipe, options.out, options.cache or options.out / "cache", watch=watch)
    except UsAssistError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    console.print(f"wrote {outcome.onnx_path} and {outcome.manifest_path}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
