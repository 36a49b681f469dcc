"""``report.html``: tables, figures and provenance on one page that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Sequence

from mo_hpc.analysis.figure_files import FigureFile
from mo_hpc.analysis.images import NO_IMAGE, image_of, mixed_images
from mo_hpc.analysis.leakage import LEAKS, n_with_findings, seen_by_foundation
from mo_hpc.analysis.notes import named_labels
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.table import Table, to_html
from mo_hpc.core.record import Record

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em;
       color: #1b1b1b; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
thead { border-bottom: 1px solid #333; }
th, td { padding: 2px 8px; text-align: left; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
tr.rule td { border-top: 1px solid #999; }
.wide { overflow-x: auto; border-top: 2px solid #333; border-bottom: 2px solid #333; }
.note { color: #555; font-size: 12.5px; margin: 0.3em 0; max-width: 60em; }
figure { margin: 1.5em 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: #333; font-size: 13px; }
.warning { border-left: 4px solid #D55E00; padding-left: 0.8em; }
"""


def report_html(records: RunRecords, tables: Sequence[Table], figures: Sequence[FigureFile]) -> str:
    """The whole page; everything that comes from files is escaped, images are embedded."""
    title = html.escape(f"{records.manifest.grid}: results")
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"<p>{html.escape(records.manifest.description)}</p>\n"
        f"{_missing(records)}{_earlier(records)}{_mixed(records)}"
        "<h2>Tables</h2>\n" + "\n".join(to_html(table) for table in tables) + "\n"
        "<h2>Figures</h2>\n" + "\n".join(_figure(figure) for figure in figures) + "\n"
        f"<h2>Provenance</h2>\n{_provenance(records)}\n</body>\n</html>\n"
    )


def _missing(records: RunRecords) -> str:
    if not records.missing:
        return f"<p>All {records.n_tasks} tasks are done.</p>\n"
    text = f"Partial: {records.n_done} of {records.n_tasks} tasks are done. Missing:"
    return _warning(text, [str(task) for task in records.missing])


def _earlier(records: RunRecords) -> str:
    earlier = records.from_earlier_foundations
    text = "Made from an earlier version of its foundation:"
    return _warning(text, earlier) if earlier else ""


def _mixed(records: RunRecords) -> str:
    return "".join(_warning(sentence, []) for sentence in mixed_images(records))


def _warning(text: str, tasks: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(task)}</li>" for task in tasks)
    listed = f"<ul>{items}</ul>" if tasks else ""
    return f"<div class='warning'><p>{html.escape(text)}</p>{listed}</div>\n"


def _figure(figure: FigureFile) -> str:
    image = next(path for path in figure.paths if path.suffix == ".png")
    data = base64.b64encode(image.read_bytes()).decode()
    text = html.escape(figure.caption)
    return (
        f"<figure><img src='data:image/png;base64,{data}' alt='{text}'>"
        f"<figcaption>{text} <code>figures/{html.escape(figure.name)}.pdf</code></figcaption>"
        "</figure>"
    )


def _provenance(records: RunRecords) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in provenance_rows(records)
    )
    return f"<table><tbody>{rows}</tbody></table>"


def provenance_rows(records: RunRecords) -> list[tuple[str, str]]:
    """What the results come from; where tasks differ, how many have each value."""
    done = list(records.records.values())
    every = [*done, *records.others.values()]
    rows = [("run", records.manifest.run_digest), ("grid", records.manifest.grid)]
    rows.extend(
        (heading, _tally(values))
        for heading, values in (
            ("dataset", [f"{record.dataset} ({record.dataset_hash[:12]})" for record in done]),
            (
                "labels",
                [named_labels(record.labels, synthetic=record.synthetic) for record in done],
            ),
            ("commit", [_commit(record.provenance) for record in every]),
            ("image", [_image(record) for record in every]),
            ("libraries", [_libraries(record.provenance) for record in every]),
            ("hardware", [_hardware(record.provenance) for record in every]),
        )
    )
    findings = n_with_findings(records.frame)
    rows.append(("leakage audit", f"{findings} of {len(done)} tasks with findings ({LEAKS})"))
    rows.extend(("foundation", sentence) for sentence in seen_by_foundation(records.frame))
    minutes = sum(record.wall_time_s for record in every) / 60
    rows.append(("time", f"{minutes:.1f} min, summed over tasks"))
    return rows


def _tally(values: Sequence[str]) -> str:
    found = Counter(values)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{value} ({number} tasks)" for value, number in sorted(found.items()))


def _commit(provenance: dict[str, object]) -> str:
    git = provenance.get("git")
    if not isinstance(git, dict):
        return f"mo_hpc {provenance.get('mo_hpc', 'of unknown version')}, installed"
    return f"{str(git['commit'])[:12]}" + (" with local changes" if git["dirty"] else "")


def _image(record: Record) -> str:
    image = image_of(record)
    return image if image == NO_IMAGE else f"sha256 {image}"


def _libraries(provenance: dict[str, object]) -> str:
    libraries = provenance.get("libraries")
    if not isinstance(libraries, dict):
        return "not recorded"
    return ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))


def _hardware(provenance: dict[str, object]) -> str:
    machine = provenance.get("machine")
    if not isinstance(machine, dict):
        return "not recorded"
    gpus = ", ".join(machine.get("gpus") or []) or "no GPU"
    return (
        f"{machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('memory_gb')} GB, {gpus}"
    )
