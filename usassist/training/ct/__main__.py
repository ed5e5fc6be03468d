"""``python -m usassist.training.ct RECIPE --out DIR``: train the engine ``ct_ich``; see ``docs/ct-ich.md``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from usassist.config import data_dir
from usassist.errors import UsAssistError
from usassist.training.ct.recipe import load_ich_recipe


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m usassist.training.ct", description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; one that was interrupted goes on")
    parser.add_argument("--engines", type=Path, help="write the engine to this folder of engines at the end")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        from usassist.training.ct.train import train

        recipe = load_ich_recipe(options.recipe)
        data_root = data_dir()

        def report(step: int, figures: dict[str, float]) -> None:
            told = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "s")
            console.print(
                f"step {step}/{recipe.stop_after}  {figures['s']:.0f} s  {told}", markup=False, highlight=False
            )

        train(
            recipe,
            data_root,
            options.out,
            threads=options.threads,
            workers=options.workers,
            precision=options.precision,
            report=report,
        )
        if options.engines is not None:
            from usassist.training.ct.package import write_engine_folder

            console.print(f"wrote {write_engine_folder(recipe, options.out, options.engines)}", markup=False)
    except UsAssistError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
