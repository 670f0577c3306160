"""The command line against a node made of the table: what each verb asks, prints and returns."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lingqu.cli.live import Progress
from lingqu.kinds.programs import Parameter, Program
from lingqu.node.replies import JobView

SQL = "SELECT education, COUNT(*) AS people FROM civil_affairs.residents GROUP BY education"
PROGRAM = Program(kind="sql", text=SQL)
VERBS = [
    "init",
    "serve",
    "node",
    "login",
    "user",
    "invite",
    "join",
    "confirm",
    "register",
    "catalog",
    "explain",
    "propose",
    "contracts",
    "approve",
    "reject",
    "revoke",
    "query",
    "train",
    "intersect",
    "jobs",
    "result",
    "ledger",
    "export",
    "verify",
]


def test_help_lists_every_verb_and_is_quick_because_it_loads_little(run: Any) -> None:
    shown = run("--help")
    assert shown.code == 0
    assert all(f"  {verb} " in shown.out for verb in VERBS)
    code = "import sys, lingqu.cli; print([m for m in ('pydantic', 'httpx', 'numpy', 'duckdb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(run: Any, verb: str) -> None:
    shown = run(verb, "--help")
    assert shown.code == 0
    assert "--json" in shown.out


def test_version(run: Any) -> None:
    assert run("--version").out.startswith("lingqu ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("catalog",),
        ("catalog", "residents"),
        ("node",),
        ("invite",),
        ("join", "lingqu1:ABCD"),
        ("confirm", "civil-affairs", "--comparison", "204 517"),
        ("register", "residents", "a.csv", "--key", "person_id", "--type", "age=int"),
        ("explain", SQL),
        ("propose", "--title", "T", "--purpose", "labour statistics", "--sql", SQL),
        ("contracts",),
        ("jobs",),
        ("ledger",),
    ],
)
def test_verbs_print_one_json_document_or_a_reading(run: Any, fake: Any, arguments: tuple[str, ...]) -> None:
    fake.contract(PROGRAM)
    shown = run(*arguments, "--json")
    assert (shown.code, shown.err) == (0, "")
    assert isinstance(shown.json, dict)
    read = run(*arguments)
    assert (read.code, read.err) == (0, "")
    assert read.out.strip()
    assert "\x1b" not in read.out


def test_the_catalogue_shows_profiles(run: Any) -> None:
    assert "41,523" in run("catalog").out
    shown = run("catalog", "civil-affairs/residents").out
    assert "17 to 90; mean 38.6 ± 13.7" in shown
    assert "Bachelors, Masters" in shown
    unknown = run("catalog", "nothing")
    assert unknown.code == 1
    assert "civil-affairs/residents" in unknown.err


def test_explain_says_technique_cost_and_who_learns_what(run: Any, fake: Any) -> None:
    shown = run("explain", SQL).out
    for said in ("share.rep3", "the cheapest that fits", "4.8 kB", "Who learns what", "the size of the intersection"):
        assert said in shown
    contract = fake.contract(PROGRAM)
    fake.job = fake.job | {"contract": contract}
    assert "3 r, 1.6 kB, 0.020 s" in run("explain", "--job", fake.job["id"]).out
    assert run("explain").code == 2
    assert run("explain", SQL, "--train", "spec.json").code == 2


def test_an_error_of_sql_keeps_its_caret(run: Any) -> None:
    shown = run("explain", "SELECT * FROM t")
    assert shown.code == 1
    lines = shown.err.splitlines()
    place = next(number for number, line in enumerate(lines) if line.endswith("SELECT * FROM t"))
    assert lines[place + 1].index("^") == lines[place].index("*")
    assert "cure:  Name aggregates." in shown.err
    assert run("explain", "SELECT * FROM t", "--json").error["code"] == "bad-input"


def test_propose_then_approve_reads_the_terms(run: Any, fake: Any) -> None:
    made = run("propose", "--title", "T", "--purpose", "labour statistics", "--sql", SQL, "--uses", "3", "--json").json
    assert made["state"] == "proposed"
    assert made["terms"]["uses"] == 3
    beginning = made["id"].removeprefix("sha256:")[:10]
    asked = run("approve", beginning)
    assert asked.code == 2
    assert "--yes" in asked.err
    for said in ("labour statistics", "nothing else", "who is in both tables", "Smallest group released", "教"[:0]):
        assert said in asked.out
    signed = run("approve", beginning, "--yes")
    assert signed.code == 0
    assert "in-force" in signed.out
    assert run("approve", made["id"], "--yes", "--json").json["state"] == "in-force"
    assert run("revoke", beginning, "--yes", "--reason", "over", "--json").json["state"] == "revoked"
    assert run("reject", beginning, "--json").json["state"] == "rejected"


def test_ids_are_named_by_their_beginning(run: Any, fake: Any) -> None:
    one = fake.contract(PROGRAM)
    fake.contract(PROGRAM, uses=9)
    assert run("contracts", one).code == 0
    assert "no id" in run("contracts", "Education").err
    assert "begins with" in run("contracts", "ffffffffffffffff").err
    assert "give more" in run("contracts", "sha256:").err.lower() or run("contracts", "sha256:").code == 1


def test_templates_are_proposed_with_limits(run: Any, fake: Any) -> None:
    text = SQL.replace("GROUP", "WHERE age >= :lo AND education IN (:level) GROUP")
    run("propose", "--title", "T", "--purpose", "p", "--sql", text, "--param", "lo=18..60", "--param", "level=a|b")
    sent = next(body for method, path, body in fake.asked if path == "/v1/contracts" and method == "POST")
    program = Program.model_validate_json(json.dumps(sent["program"]))
    assert program.parameters == {"lo": Parameter(lower=18, upper=60), "level": Parameter(allowed=("a", "b"))}
    assert run("propose", "--title", "T", "--purpose", "p", "--sql", text, "--param", "lo").code == 2
    assert run("propose", "--title", "T", "--purpose", "p", "--sql", text, "--param", "lo=a..b").code == 2


def test_sql_is_read_from_files_and_standard_input(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q.sql").write_text(SQL + ";\n")
    digest = run("explain", SQL, "--json").json["plan_digest"]
    assert run("explain", f"@{tmp_path / 'q.sql'}", "--json").json["plan_digest"] == digest
    monkeypatch.setattr(sys, "stdin", io.StringIO(SQL))
    assert run("explain", "-", "--json").json["plan_digest"] == digest
    assert "cannot be read" in run("explain", "@/nowhere.sql").err
    assert "empty" in run("explain", " ;").err


def test_refusals_exit_3_and_name_their_term(run: Any, fake: Any) -> None:
    none = run("query", SQL, "--purpose", "labour statistics")
    assert none.code == 3
    assert "term:  signatures" in none.err
    assert "lingqu propose" in none.err
    contract = fake.contract(PROGRAM)
    other = run("query", SQL, "--contract", contract, "--purpose", "advertising", "--json")
    assert (other.code, other.error["term"]) == (3, "purpose")
    strange = run("query", SQL + " LIMIT 3", "--contract", contract, "--json")
    assert (strange.code, strange.error["term"]) == (3, "program")
    assert run("query", SQL).code == 2


def test_failed_jobs_say_which_party(run: Any, fake: Any) -> None:
    contract = fake.contract(PROGRAM)
    error = {"code": "party-lost", "cause": "human-resources stopped answering.", "cure": "Run again.", "term": None}
    fake.outcome = fake.job | {"contract": contract, "state": "failed", "error": error | {"party": "human-resources"}}
    shown = run("query", SQL, "--purpose", "labour statistics")
    assert shown.code == 1
    assert "party: human-resources" in shown.err
    assert run("jobs", fake.job["id"]).code == 0
    assert "stopped answering" in run("jobs").out


def test_what_is_made_ahead_is_shown(run: Any, fake: Any) -> None:
    assert "No contract in force" in run("supplies").out
    held = {"contract": "sha256:" + "1" * 64, "title": "Education", "mechanism": "share.two", "state": "waiting"}
    counts = {"runs": 1, "wanted": 2, "portions": 9, "portions_wanted": 16, "bytes": 5 << 20, "bytes_wanted": 9 << 20}
    fake.supplies = [held | counts | {"cause": "big-data has other work.\x1b[2J"}]
    assert run("supplies", "--json").json["supplies"][0]["portions"] == 9
    shown = run("supplies").out
    for told in ("111111111111", "share.two", "waiting", "1/2", "9/16", "5.2 MB", "has other work"):
        assert told in shown
    assert "\x1b[2J" not in shown


def test_a_job_shows_what_its_correlations_took(run: Any, fake: Any) -> None:
    took = {"rounds": 193, "bytes": 41_315_576, "milliseconds": 35_369}
    fake.job = fake.job | {"supplies": {"ahead": took, "online": {"rounds": 0, "bytes": 0, "milliseconds": 12}}}
    shown = run("jobs", fake.job["id"]).out
    assert "193 rounds, 41.3 MB sent, 35.37 s" in shown
    assert "Made on line" in shown


def test_jobs_are_followed_and_cancelled(run: Any, fake: Any) -> None:
    assert run("jobs", "01234567", "--follow", "--json").json["state"] == "done"
    assert run("jobs", "01234567", "--cancel", "--json").json["state"] == "failed"
    assert run("jobs", "--cancel").code == 2


def test_passwords_come_from_standard_input_and_are_not_echoed(
    run: Any, fake: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    made = run("user", "li", "--role", "owner", "--json")
    assert made.json == {"name": "li", "role": "owner"}
    assert fake.asked[-1][2]["password"] == "correct horse battery"
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    shown = run("login", "li", "--json")
    assert "fresh" not in shown.out + made.out
    assert "battery" not in shown.out + shown.err + made.err
    file = home / "tokens" / "li.token"
    assert file.read_text() == "fresh\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_pairing_compares_digits(run: Any, fake: Any) -> None:
    assert "204 517" in run("join", "lingqu1:ABCD").out
    assert run("confirm", "civil-affairs").code == 1
    fake.peers = [
        {"name": "civil-affairs", "title": "民政局", "fingerprint": "sha256:ab", "address": "a:1", "state": "pending"}
        | {"comparison": "204 517"}
    ]
    assert "民政局" in run("node").out
    assert run("confirm", "civil-affairs").code == 2
    assert "confirmed" in run("confirm", "civil-affairs", "--yes").out


def test_strangers_titles_do_not_steer_the_terminal(run: Any, fake: Any) -> None:
    fake.contract(PROGRAM, title="nice\x1b[2Jtitle")
    for arguments in (("contracts",), ("contracts", next(iter(fake.contracts)))):
        assert "\x1b" not in run(*arguments).out


def test_usage_errors_exit_2_and_a_missing_home_says_what_to_do(run: Any, tmp_path: Path) -> None:
    for arguments in (("nonsense",), ("invite", "--minutes", "x"), ("query",), ("user", "li", "--role", "king")):
        shown = run(*arguments)
        assert shown.code == 2
        assert "--help" in shown.err
        assert run(*arguments, "--json").error["code"] == "usage"
    missing = run("catalog", "--home", str(tmp_path / "none"))
    assert missing.code == 1
    assert "lingqu init" in missing.err
    assert run("catalog", "--as", "nobody").code == 3


def test_export_writes_a_bundle(run: Any, tmp_path: Path) -> None:
    assert run("export", str(tmp_path / "b"), "--json").json["bytes"] == 6
    assert (tmp_path / "b").read_bytes() == b"bundle"
    assert run("export", str(tmp_path / "none" / "b")).code == 1


def test_verify_exits_4_for_what_is_no_bundle(run: Any, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"no bundle")
    shown = run("verify", str(tmp_path / "b"), "--json")
    assert (shown.code, shown.json["ok"]) == (4, False)
    assert "NOT VERIFIED" in run("verify", str(tmp_path / "b")).out
    assert run("verify", str(tmp_path / "b"), "--key", "big-data=short").code == 1
    assert run("verify", str(tmp_path / "none")).code == 1


def test_a_reader_that_leaves_ends_the_program_quietly(home: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from lingqu.cli import main; sys.exit(main(['--help']))"
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run([sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_query_prints_its_result_and_what_was_withheld(run: Any, fake: Any, tmp_path: Path) -> None:
    fake.contract(PROGRAM)
    fake.release = {
        "job": fake.job["id"],
        "plan": "sha256:" + "0" * 64,
        "recipient": "big-data",
        "kind": "table",
        "blind": "00" * 16,
        "minimum_group": 10,
        "columns": [
            {"name": "education", "type": "string", "computed": "key"},
            {"name": "people", "type": "int", "computed": "COUNT(*)"},
        ],
        "rows": [["Bachelors\x1b[2J", 12345]],
        "withheld": [["Preschool"], [None]],
        "values": {},
        "note": "Groups that are missing were withheld (below 10 rows or absent).",
    }
    shown = run("query", SQL, "--purpose", "labour statistics", "--output", str(tmp_path / "a.csv"))
    assert shown.code == 0
    assert "12,345" in shown.out
    assert "Not shown: Preschool; (none). A group is shown only where at least 10 rows stand" in shown.out
    assert "3 rounds, 1.6 kB sent" in shown.out
    assert "\x1b" not in shown.out + shown.err
    assert "release: 3 rounds" in shown.err.replace("release (release)", "release")
    assert (tmp_path / "a.csv").read_text().startswith('"education","people"')
    document = run("query", SQL, "--purpose", "labour statistics", "--json")
    assert document.err == ""
    assert document.json["release"]["rows"][0][1] == 12345
    assert run("result", fake.job["id"], "-o", str(tmp_path / "a.parquet")).code == 0
    assert run("result", fake.job["id"], "-o", str(tmp_path / "a.json")).code == 0
    assert run("result", fake.job["id"], "-o", str(tmp_path / "a.md")).code == 1


def test_init_prints_passwords_once(run: Any, tmp_path: Path) -> None:
    place = tmp_path / "node"
    arguments = ("init", "--name", "big-data", "--title", "大数据局", "--home", str(place))
    shown = run(*arguments, "--address", "10.0.0.3:7402", "--stream-ports", "7410-7449", "--json")
    assert shown.code == 0
    assert [user["role"] for user in shown.json["users"]] == ["owner", "manager", "analyst", "auditor"]
    config = (place / "config.toml").read_text()
    assert all(user["password"] not in config for user in shown.json["users"])
    assert 'address = "10.0.0.3:7402"' in config
    assert "first = 7410" in config
    again = run(*arguments, "--json")
    assert (again.code, again.error["code"]) == (1, "conflict")
    wrong = ("init", "--name", "Big Data", "--home", str(tmp_path / "other"))
    assert run(*wrong).code == 1
    assert run("init", "--name", "big-data", "--user", "li:king").code == 2
    assert run("init", "--name", "big-data", "--address", "host:port").code == 1


def test_serve_names_what_is_missing(run: Any, tmp_path: Path) -> None:
    shown = run("serve", "--home", str(tmp_path / "none"))
    assert shown.code == 1
    assert "lingqu init" in shown.err


def test_ctrl_c_leaves_the_job_running_and_says_so(run: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.contract(PROGRAM)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lingqu.node.remote.Remote.follow", interrupted)
    shown = run("query", SQL, "--purpose", "labour statistics")
    assert shown.code == 130
    assert "The job goes on" in shown.err
    assert "--cancel" in shown.err


def test_a_long_step_shows_its_rows(run: Any, fake: Any) -> None:
    step = {"id": "intersect", "operator": "intersect", "state": "running", "rows": 12_000, "of": 60_000}
    fake.job = fake.job | {"state": "running", "steps": [step]}
    assert "running, 12,000 of 60,000 rows" in run("jobs", fake.job["id"]).out
    console = Console(file=io.StringIO(), width=100)
    with Progress(console, JobView.model_validate_json(json.dumps(fake.job))) as progress:
        progress.update(JobView.model_validate_json(json.dumps(fake.job | {"steps": [step | {"rows": 60_000}]})))
    file = console.file
    assert isinstance(file, io.StringIO)
    assert [line.strip() for line in file.getvalue().splitlines()] == [
        "intersect (intersect): 12,000 of 60,000 rows",
        "intersect (intersect): 60,000 of 60,000 rows",
    ]
