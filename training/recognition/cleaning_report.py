"""A page on which a person goes through labels, the most suspicious first, picture by picture."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2

from platestream.errors import OutputError
from training.recognition.cleaning import Verdict
from training.recognition.crops import read_picture

_STYLE = """
body { font: 14px sans-serif; margin: 2em; background: #f4f4f4 }
table { border-collapse: collapse; background: white }
td, th { padding: 4px 10px; border-bottom: 1px solid #ddd; text-align: left }
td.text { font: 16px monospace } img { max-width: 320px; max-height: 110px }
.changed, .added { background: #fff3c4 } .dropped { background: #f9d5d5 }
"""


def write_report(path: Path, folder: Path, verdicts: Sequence[Verdict], most: int = 1000) -> None:
    """Writes an HTML page that needs no other file.

    Args:
        verdicts: In the order in which they shall be looked at.
        most: How many of them the page shows.

    Raises:
        OutputError: It cannot be written.
    """
    actions = Counter(v.action for v in verdicts)
    counts = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    rows = "\n".join(_row(folder, v) for v in verdicts[:most])
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Labels</title>
<style>{_STYLE}</style><h1>Labels, the most suspicious first</h1>
<p>{len(verdicts)} files: {counts}. Shown: {min(most, len(verdicts))}. To overrule one, put its
file and text (empty: leave it out) into a CSV with the columns file,text and give it as
--reviewed.</p>
<table><tr><th>picture<th>file<th>label<th>model<th>nats<th>why<th>train on</tr>
{rows}</table></html>
"""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}") from error


def _row(folder: Path, verdict: Verdict) -> str:
    image = read_picture(folder / verdict.file)
    picture = ""
    if image is not None:
        data = base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="">'
    also = [text for text in verdict.written if text != verdict.given]
    given = html.escape(verdict.given or "none") + (
        f"<br><small>or {html.escape(', '.join(also))}</small>" if also else ""
    )
    why = "; ".join(verdict.reasons) + (" (read by eye)" if verdict.reviewed else "")
    return (
        f'<tr class="{verdict.action}"><td>{picture}<td>{html.escape(verdict.file)}'
        f'<td class="text">{given}<td class="text">{html.escape(verdict.read)} '
        f"<small>{verdict.confidence:.2f}</small><td>{verdict.suspicion:.1f}"
        f'<td>{html.escape(why)}<td class="text">{html.escape(verdict.text) or "—"}</tr>'
    )
