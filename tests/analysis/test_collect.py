"""From a synthetic run to tables, figures and report, through the command."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mo_hpc import collect
from mo_hpc.analysis import figures
from mo_hpc.analysis.collection import Collection, last_collection, replace
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.report import report_html
from mo_hpc.analysis.tables import make_tables
from mo_hpc.analysis.terminal import print_tables
from mo_hpc.core.errors import UserError, WorkIncomplete, run_command
from mo_hpc.core.files import append_line, write_json
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import ErrorRecord, write_error
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.plan.manifest import read_manifest

PRETRAIN = 0
A_FOLD = 3


def read(run: RunPaths, active: dict[str, str]) -> RunRecords:
    return read_run(run, active, Diagnostician(run))


def ids(run: RunPaths) -> list[str]:
    return [task.id for task in read_manifest(run).tasks]


def written(run: RunPaths) -> dict[str, bytes]:
    figures = [path for path in run.figures.glob("*") if path.suffix != ".json"]
    files = [*run.tables.glob("*"), *figures, run.report]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def fail(run: RunPaths, position: int) -> None:
    task = read_manifest(run).tasks[position]
    run.task(task.id).metrics.unlink(missing_ok=True)
    error = ErrorRecord(
        task_id=task.id,
        digest=task.digest,
        failure_class="diverged",
        error_type="DivergedError",
        message="The loss is not a finite number at epoch 3.",
        traceback="",
        provenance={},
    )
    write_error(run.task(task.id), error)


@pytest.fixture(scope="module")
def collected(make_run, tmp_path_factory) -> RunPaths:
    run = make_run(tmp_path_factory.mktemp("runs") / "synthetic" / "abc")
    assert collect.main([f"run={run.folder}"]) == 0
    return run


def test_a_second_collection_writes_the_same_bytes(collected: RunPaths, capsys) -> None:
    first = written(collected)
    assert collect.main([f"run={collected.folder}", "--json"]) == 0
    assert written(collected) == first
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["missing"]) == (1, [])
    assert document["n_done"] == document["n_tasks"] == 33
    assert {Path(path).name for path in document["paths"]} == set(first)


def test_figures_are_drawn_again_only_when_something_changed(collected: RunPaths) -> None:
    figure = collected.figures / "lodo_bars_zero_shot.png"
    drawn = figure.stat().st_mtime_ns
    assert collect.main([f"run={collected.folder}"]) == 0
    assert figure.stat().st_mtime_ns == drawn

    content = figure.read_bytes()
    figure.unlink()
    assert collect.main([f"run={collected.folder}"]) == 0
    assert figure.read_bytes() == content

    record = collected.task(ids(collected)[-1]).metrics
    document = json.loads(record.read_text())
    write_json(record, document | {"wall_time_s": document["wall_time_s"] + 1})
    drawn = figure.stat().st_mtime_ns
    assert collect.main([f"run={collected.folder}"]) == 0
    assert figure.stat().st_mtime_ns > drawn


def test_every_table_comes_in_every_format_and_every_figure_in_two(collected: RunPaths) -> None:
    names = set(written(collected))
    for table in ("table1_iid", "lodo_comparison", "table2_lodo_zero_shot", "foundations"):
        assert {f"{table}.md", f"{table}.csv", f"{table}.tex"} <= names
    assert {"tasks.csv", "metrics_long.csv", "report.html"} <= names
    for figure in (
        "lodo_bars_fine_tune_average",
        "energy_parity_fine_tune_foundation",
        "force_parity_iid_average",
        "learning_curves_transfer_average",
    ):
        assert {f"{figure}.pdf", f"{figure}.png"} <= names


def test_figures_carry_no_date_and_no_version(collected: RunPaths) -> None:
    content = (collected.figures / "lodo_bars_zero_shot.pdf").read_bytes()
    assert b"CreationDate" not in content
    assert b"Matplotlib" not in content


def test_tables_name_labels_stand_in_and_averages(collected: RunPaths) -> None:
    table1 = (collected.tables / "table1_iid.md").read_text()
    assert "synthetic test labels" in table1
    assert ", not from first principles." in table1
    assert "stand-in" in table1
    assert "over n tasks" in table1
    for path in collected.tables.glob("*.md"):
        assert "Splits: grouped, all frames of a trajectory" in path.read_text()
    table2 = (collected.tables / "table2_lodo_fine_tune_average.md").read_text()
    assert "MeanAll (n=3)" in table2
    assert "MeanNC, without Cr (n=2)" in table2
    assert "paper (Eq, medium), other data and labels" in table2
    assert "counts 0 there, which concerns 54 of 108 test frames" in table2
    assert "paper, other" not in (collected.tables / "table2_lodo_zero_shot.md").read_text()


def test_terminal_output_is_at_most_80_columns_wide(collected: RunPaths, capsys) -> None:
    records = read(collected, {})
    print_tables(records, make_tables(records))
    output = capsys.readouterr().out
    tables = output.split("Tables:")[0]
    assert max(len(line) for line in tables.splitlines()) <= 80
    assert "foundation" in tables
    assert str(collected.figures) in output


def test_terminal_tells_rows_apart_by_every_axis_of_the_grid(make_run, tmp_path, capsys) -> None:
    run = make_run(
        tmp_path / "run", paradigm="fine_tune", further=({"grouped": True}, {"grouped": False})
    )
    records = read(run, {})
    tables = {table.name: table for table in make_tables(records)}
    print_tables(records, list(tables.values()))
    output = capsys.readouterr().out.split("Tables:")[0]
    assert max(len(line) for line in output.splitlines()) <= 80
    for name in ("table1_iid", "lodo_comparison"):
        assert {row["grouped"] for row in tables[name].rows} == {"yes", "no"}
    # Both tables have a row for each of two policies and two kinds of split.
    assert len(re.findall("grouped", output.split("Labels")[0])) >= 8
    assert "not grouped, as in the paper" in " ".join(output.split())


def test_a_partial_collection_uses_the_names_of_the_final_one(make_run, tmp_path) -> None:
    full = read(make_run(tmp_path / "full"), {})
    final = {figure.name for figure in figures.figures_of(full)}
    only_zero_shot = tuple(position for position in range(33) if not 1 <= position <= 8)
    part = read(make_run(tmp_path / "part", unfinished=only_zero_shot), {})
    partial = {figure.name for figure in figures.figures_of(part)}
    assert {"lodo_bars_zero_shot", "force_parity_iid_average"} <= partial
    assert partial < final


def test_what_figures_are_of_includes_the_progress_of_training(run: RunPaths) -> None:
    records = read(run, {})
    drawn = figures.figures_of(records)
    before = figures.drawn_from(records, drawn)
    append_line(run.task(ids(run)[PRETRAIN]).progress, {"epoch": 13})
    assert figures.drawn_from(records, drawn) != before


def test_files_that_only_an_earlier_collection_made_are_removed(tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "run")
    outside = tmp_path / "run" / "manifest.json"
    files = [folder / name for folder in (run.tables, run.figures) for name in ("old", "new", "my")]
    for path in (outside, *files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    earlier = Collection({}, tables=("old", "../manifest.json"), figures=("old", "new"))
    current = Collection({"a": "b"}, tables=("new",), figures=("new",))
    replace(run, earlier, current)
    assert {path for path in files if path.exists()} == {
        path for path in files if path.name != "old"
    }
    assert outside.exists()
    assert last_collection(run) == current


def test_tasks_of_an_earlier_foundation_are_named(run: RunPaths) -> None:
    """The pretraining has made another model since the second task took one from it."""
    for position, (field, value) in enumerate(
        [("model_sha256", "b" * 64), ("foundation", "a" * 64), ("foundation", "b" * 64)]
    ):
        path = run.task(ids(run)[position]).metrics
        document = json.loads(path.read_text())
        changed = value if field == "model_sha256" else document[field] | {"sha256": value}
        write_json(path, document | {field: changed})
    run.task(ids(run)[PRETRAIN]).model.write_bytes(b"")
    records = read(run, {})
    assert records.from_earlier_foundations == [ids(run)[1]]
    assert records.n_done == records.n_tasks
    tables = make_tables(records)
    sentence = f"Made from an earlier version of its foundation: {ids(run)[1]}."
    assert sentence in tables[0].notes
    assert "earlier version of its foundation" in report_html(records, tables, [])


def test_latex_is_escaped_and_balanced(collected: RunPaths) -> None:
    for path in collected.tables.glob("*.tex"):
        text = path.read_text()
        body = "\n".join(text.splitlines()[1:])
        assert re.search(r"(?<!\\)%(?!$)", body, flags=re.MULTILINE) is None
        assert re.search(r"(?<!\\)&(?! )", body) is None
        assert "±" not in body
        assert re.findall(r"\\begin\{(\w+)\}", body) == ["table", "tabular", "minipage"]
        assert body.count("\\begin{") == body.count("\\end{")
        unescaped = re.sub(r"\\[{}]", "", body)
        assert unescaped.count("{") == unescaped.count("}")
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", body)
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}
    prose = (collected.tables / "table1_iid.tex").read_text().split("minipage")[1]
    assert r"100 \% \ensuremath{<}made up\ensuremath{>} \& a\_b" in prose


def test_report_escapes_and_needs_nothing_else(collected: RunPaths) -> None:
    page = collected.report.read_text()
    assert "<made up>" not in page
    assert "&lt;made up&gt; &amp; a_b" in page
    assert "synthetic &lt;cpu&gt;" in page
    assert page.count("data:image/png;base64,") == len(list(collected.figures.glob("*.png")))
    assert not re.findall(r"(?:src|href)='(?!data:)", page)

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, _attributes: object) -> None:
            if tag not in ("meta", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    balance = Balance()
    balance.feed(page)
    assert balance.open == []


def test_an_incomplete_run_is_refused_and_nothing_is_written(make_run, tmp_path, capsys) -> None:
    run = make_run(tmp_path / "runs" / "synthetic" / "abc", unfinished=(A_FOLD,))
    words = ["grid=synthetic", f"runs_root={tmp_path / 'runs'}"]
    assert run_command(collect.main, words) == 1
    error = capsys.readouterr().err
    assert "32 of 33 tasks are done" in error
    assert ids(run)[A_FOLD] in error
    assert written(run) == {}
    assert run_command(collect.main, [*words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["paths"] == []
    assert [task["id"] for task in document["missing"]] == [ids(run)[A_FOLD]]


def test_partial_tables_say_how_much_there_is_and_list_the_missing_cells(
    make_run, tmp_path, capsys
) -> None:
    run = make_run(tmp_path / "run", unfinished=(A_FOLD,), paradigm="zero_shot")
    assert run_command(collect.main, [f"run={run.folder}", "--partial"]) == 1
    capsys.readouterr()
    for path in run.tables.glob("*.md"):
        assert "(partial: 8 of 9 tasks)" in path.read_text().splitlines()[0]
    table = (run.tables / "table2_lodo_zero_shot.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| strict  | Cr "))
    assert row.count("–") == 12
    assert "MeanAll (n=2)" in table
    assert f"Missing, 1 of 6 tasks: {ids(run)[A_FOLD]} (missing)." in table
    assert "Missing," not in (run.tables / "table1_iid.md").read_text()
    assert "Partial: 8 of 9" in run.report.read_text()


def test_a_run_without_any_record_can_be_shown(make_run, tmp_path, capsys) -> None:
    run = make_run(tmp_path / "run", unfinished=tuple(range(33)))
    assert run_command(collect.main, [f"run={run.folder}", "--partial", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["n_done"], len(document["missing"])) == (0, 33)
    assert list(run.figures.glob("*.p*")) == []


def test_failed_and_blocked_tasks_are_named_with_their_reason(make_run, tmp_path) -> None:
    run = make_run(tmp_path / "run", unfinished=(A_FOLD,))
    fail(run, PRETRAIN)
    records = read(run, {})
    pretrain, fold = records.missing
    assert (pretrain.state, fold.state) == ("failed", "blocked")
    assert "not a finite number at epoch 3" in pretrain.reason
    assert ids(run)[PRETRAIN] in fold.reason
    with pytest.raises(WorkIncomplete, match="blocked"):
        records.require_complete()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda record: json.dumps(record)[:-40], "cut short"),
        (lambda record: json.dumps(record | {"schema_version": 0}), "schema version 0"),
        (lambda record: json.dumps(record | {"digest": "0" * 64}), "another task"),
        (lambda record: json.dumps(record | {"metrics": 3}), "is not a record"),
    ],
)
def test_a_record_that_is_not_what_it_should_be_is_missing(
    make_run, tmp_path, damage, reason
) -> None:
    run = make_run(tmp_path / "run")
    path = run.task(ids(run)[A_FOLD]).metrics
    path.write_text(damage(json.loads(path.read_text())))
    records = read(run, {})
    assert [task.id for task in records.missing] == [ids(run)[A_FOLD]]
    assert reason in records.missing[0].reason
    row = records.frame.set_index("task_id").loc[ids(run)[A_FOLD]]
    assert row["state"] == "missing"
    assert records.n_done == 32


def test_a_record_that_no_task_expects_is_named(run: RunPaths) -> None:
    write_json(run.task("stray-1234").metrics, {})
    records = read(run, {})
    assert [(task.id, task.state) for task in records.missing] == [("stray-1234", "foreign")]
    assert records.n_done == records.n_tasks


def test_running_tasks_are_named_as_such(make_run, tmp_path) -> None:
    run = make_run(tmp_path / "run", unfinished=(A_FOLD,))
    records = read(run, {ids(run)[A_FOLD]: "running"})
    assert records.missing[0].state == "running"


def test_predictions_of_another_record_are_refused(run: RunPaths) -> None:
    first, second = ids(run)[A_FOLD : A_FOLD + 2]
    run.task(first).predictions.write_bytes(run.task(second).predictions.read_bytes())
    with pytest.raises(UserError, match="not the file that the task's record was made from"):
        collect.main([f"run={run.folder}"])
