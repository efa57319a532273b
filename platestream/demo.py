"""The command ``demo``: the main job on a clip that the project drew itself, with known plates."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from platestream import options, run_command
from platestream.errors import SourceError
from platestream.job import default_job
from platestream.outputs import make_default_folder
from platestream.stdout import print_json


def demo(
    output: Annotated[Path, typer.Option(help="The video.")] = Path("out/demo.mp4"),
    ocr_replicas: Annotated[int, typer.Option(min=0, max=64, help="OCR processes.")] = 1,
    live: Annotated[bool, typer.Option("--live/--file", help="At the clip's own pace.")] = False,
    as_json: options.Json = False,
) -> None:
    """Runs on the built-in clip and says how many of its plates were read right."""
    console = Console(stderr=True, highlight=False)
    clip, truth = built_in_clip()
    if output.parent == Path("out"):
        make_default_folder(output.parent)
    job = default_job(
        str(clip), output=output, camera="demo", replicas=ocr_replicas, live=live, force=True
    )
    result = run_command.run_job(job, console)
    texts = {plate["text"] for plate in truth["plates"]}
    read = {seen.text for seen in result.plates}
    right, wrong = sorted(texts & read), sorted(read - texts)
    if as_json:
        facts = result.as_dict() | {"expected": sorted(texts), "right": right, "wrong": wrong}
        print_json(facts)
    else:
        run_command.show_result(console, job, result)
        print(f"{len(right)} of {len(texts)} plates read right, {len(wrong)} wrong")
        for text in sorted(texts - read):
            print(f"missed: {text}")


def built_in_clip() -> tuple[Path, dict[str, Any]]:
    """The clip's path and its truth.

    Raises:
        SourceError: The package was installed without them.
    """
    folder = resources.files("platestream").joinpath("data")
    clip = Path(str(folder.joinpath("demo.mp4")))
    try:
        truth: dict[str, Any] = json.loads(folder.joinpath("demo.json").read_text("utf-8"))
    except OSError as error:
        raise SourceError(f"the built-in clip is missing ({error}); install again") from error
    return clip, truth
