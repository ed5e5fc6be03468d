"""The commands ``usassist phantom ct …``: simulated CT studies as a DICOM series or NIfTI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from usassist.app.studies.phantoms import CtPhantom

__all__ = ["phantom_ct_app"]

phantom_ct_app = typer.Typer(help="Simulated CT studies; see docs/ct-dicom.md.", no_args_is_help=True)

OutOption = Annotated[
    Path, typer.Option("--out", help="New folder for the DICOM images; with --nifti a new .nii.gz file.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same study.")]
SizeOption = Annotated[int, typer.Option("--size", help="Rows, and as many columns.")]
NiftiOption = Annotated[bool, typer.Option("--nifti", help="Write NIfTI instead of DICOM.")]
TruthOption = Annotated[Path | None, typer.Option("--truth", help="New .nii.gz file for the labels of every voxel.")]


@phantom_ct_app.command()
def head(
    out: OutOption,
    seed: SeedOption = 1,
    slices: Annotated[int, typer.Option("--slices", help="Planes, over 160 mm.")] = 32,
    size: SizeOption = 256,
    bleed: Annotated[
        str, typer.Option("--bleed", help="none, intraparenchymal, intraventricular or extra_axial.")
    ] = "none",
    nifti: NiftiOption = False,
    truth: TruthOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a simulated head CT, with one bleed or none."""
    from usassist.app.studies.phantoms import make_head_study

    def make(scratch: Path, report: Callable[[str, float], None]) -> CtPhantom:
        return make_head_study(seed=seed, slices=slices, size=size, bleed=bleed, scratch=scratch, report=report)

    _write(make, out, nifti, truth, as_json)


@phantom_ct_app.command()
def abdomen(
    out: OutOption,
    seed: SeedOption = 1,
    slices: Annotated[int, typer.Option("--slices", help="Planes, over 250 mm, from T11 to L5.")] = 50,
    size: SizeOption = 256,
    nifti: NiftiOption = False,
    truth: TruthOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a simulated abdominal CT."""
    from usassist.app.studies.phantoms import make_abdomen_study

    def make(scratch: Path, report: Callable[[str, float], None]) -> CtPhantom:
        return make_abdomen_study(seed=seed, slices=slices, size=size, scratch=scratch, report=report)

    _write(make, out, nifti, truth, as_json)


def _write(
    make: Callable[[Path, Callable[[str, float], None]], CtPhantom],
    out: Path,
    nifti: bool,
    truth: Path | None,
    as_json: bool,
) -> None:
    from usassist.app.commands.progress import ProgressBar
    from usassist.app.studies.phantoms import check_phantom_paths, write_phantom

    check_phantom_paths(out, nifti=nifti, truth=truth)
    with ProgressBar(quiet=as_json) as progress:

        def report(what: str, share: float) -> None:
            progress.step(round(1000 * share), 1000, what)

        phantom = make(out.parent, report)
        written = write_phantom(phantom, out, nifti=nifti, truth=truth, report=report)
    labels = {str(value): name for value, name in phantom.label_names.items()}
    if as_json:
        document = {"written": [str(path) for path in written], "truth": dict(phantom.truth), "labels": labels}
        typer.echo(json.dumps(document, indent=2))
        return
    depth, rows, columns = phantom.volume.shape_zyx
    spacing = " x ".join(f"{length:.3g}" for length in reversed(phantom.volume.spacing_zyx_mm))
    typer.echo(f"{columns} x {rows} x {depth} voxels of {spacing} mm")
    for name, value in phantom.truth.items():
        shown = ", ".join(f"{key} {z}" for key, z in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name.replace('_', ' ')}: {shown}")
    for path in written:
        typer.echo(f"wrote {path}")
    if truth is not None:
        typer.echo("labels: " + ", ".join(f"{value} {name}" for value, name in labels.items()))
