"""The commands ``usassist pacs …``: what archives have, and what is to be sent to them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption, read_settings
from usassist.app.commands.pacs_listen import listen
from usassist.app.commands.pacs_options import ArchiveArgument, archive_of, check_date, dimse_node
from usassist.app.commands.pacs_send import queue_app, send

__all__ = ["pacs_app"]

pacs_app = typer.Typer(help="Archives (PACS): what they have, and what is sent to them; see docs/pacs.md.")

pacs_app.command("send")(send)
pacs_app.command("listen")(listen)
pacs_app.add_typer(queue_app, name="queue")

AccessionOption = Annotated[str, typer.Option(metavar="NUMBER", help="Accession number.")]
PatientOption = Annotated[str, typer.Option(metavar="ID", help="Patient ID.")]
DateOption = Annotated[str, typer.Option(metavar="YYYYMMDD", help="Date, or a range YYYYMMDD-YYYYMMDD.")]


@pacs_app.callback(invoke_without_command=True)
def _pacs(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML), with tables pacs.NAME.")] = None,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    if config is not None:
        read_settings(config)


@pacs_app.command("echo")
def echo(archive: ArchiveArgument) -> None:
    """Ask an archive whether it is there, and whether it talks to us."""
    typer.echo(archive_of(archive).echo())


@pacs_app.command("find")
def find(
    archive: ArchiveArgument,
    patient: PatientOption = "",
    accession: AccessionOption = "",
    study: Annotated[str, typer.Option(metavar="UID", help="Study instance UID: its series are listed.")] = "",
    series: Annotated[str, typer.Option(metavar="UID", help="With --study: the objects of this series.")] = "",
    date: DateOption = "",
    modality: Annotated[str, typer.Option(metavar="CODE", help="Modality, for example US.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List studies, the series of a study, or the objects of a series. Prints names of patients."""
    from usassist.app.commands.pacs_tables import print_matches
    from usassist.dicom.network.nodes import Level, Query
    from usassist.errors import UsageError

    if series and not study:
        raise UsageError("--series is looked for in a study; give --study too")
    if study and (patient or accession or date):
        raise UsageError("--study names one study; leave out --patient, --accession and --date")
    level: Level = "IMAGE" if series else "SERIES" if study else "STUDY"
    query = Query(
        level=level,
        patient_id=patient,
        accession_number=accession,
        study_instance_uid=study,
        series_instance_uid=series,
        study_date=check_date(date),
        modality=modality,
    )
    matches = archive_of(archive).find(query)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(match) for match in matches], indent=2, ensure_ascii=False))
    elif matches:
        print_matches(level, matches)
    else:
        typer.echo(f"{archive} has nothing that matches")


@pacs_app.command("fetch")
def fetch(
    archive: ArchiveArgument,
    study: Annotated[str, typer.Argument(metavar="STUDY_UID", help="Study instance UID, as `pacs find` shows it.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Gets the files; must not exist.")],
    move_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port to receive at, with C-MOVE, from an archive without C-GET; else move_port."
        ),
    ] = None,
) -> None:
    """Fetch a study into a new private folder: the whole study, or nothing."""
    from usassist.dicom.network.archives import open_archive
    from usassist.dicom.network.fetch_folder import fetch_into

    opened = archive_of(archive)
    if move_port is not None:
        opened = open_archive(dataclasses.replace(dimse_node(archive, "C-MOVE"), move_port=move_port))
    count = fetch_into(opened, study, out)
    typer.echo(f"{count} objects in {out}")


@pacs_app.command("worklist")
def worklist(
    archive: ArchiveArgument,
    accession: AccessionOption = "",
    patient: PatientOption = "",
    date: DateOption = "",
    station: Annotated[str, typer.Option(metavar="AE", help="AE title of the station it is scheduled for.")] = "",
    modality: Annotated[str, typer.Option(metavar="CODE", help="Modality; empty = all.")] = "US",
    write: Annotated[
        Path | None, typer.Option(metavar="STUDY.json", help="Write the study, for `usassist export dicom --study`.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the examinations that are ordered, or write the study of one of them. Prints names of patients."""
    from usassist.app.commands.pacs_tables import print_ordered
    from usassist.dicom.network.worklist import WorklistQuery, find_ordered
    from usassist.dicom.study import write_study
    from usassist.errors import ArchiveError, UsageError

    if write is not None and write.exists():
        raise UsageError(f"{write} exists; name another file, or remove it")
    query = WorklistQuery(
        modality=modality,
        date=check_date(date),
        station_ae=station,
        accession_number=accession,
        patient_id=patient,
    )
    found = find_ordered(dimse_node(archive, "the worklist"), query)
    if write is not None and len({item.study.study_instance_uid for item in found}) == 1 and found:
        if not found[0].study.study_instance_uid:
            raise ArchiveError(f"{archive} has this order without a study instance UID; nothing was written")
        write_study(write, found[0].study)
        typer.echo(f"the study is in {write}, which only you can read")
        return
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(item) for item in found], indent=2, ensure_ascii=False))
    elif found:
        print_ordered(found)
    else:
        typer.echo(f"{archive} has no order that matches")
    if write is not None:
        many = f"{len(found)} orders match; name one with --accession" if found else "no order matches"
        raise UsageError(f"{many}: nothing was written")
