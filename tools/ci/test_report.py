#!/usr/bin/env python3
"""Counts test cases in what `meson test` left behind, and adds lanes up.

A case is a line of TAP; a test that speaks no TAP is one case. A test program that crashes, times out or ends before
its plan counts as one failed case more than it reported. The last line is always `N passed, N failed, N skipped`, and
the exit status is 1 when a case failed.
"""

import argparse
import json
import pathlib
import re
import sys

CASE = re.compile(r"^(not )?ok\b\s*(?:(\d+)\b)?\s*(?:- )?([^#]*)(?:#\s*(SKIP|TODO)\S*\s*(.*))?$", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*SKIP\S*\s*(.*))?$", re.IGNORECASE)


def new_report():
    return {"passed": 0, "failed": [], "skipped": []}


def count_tap(program, run, report):
    """Adds one TAP program's cases to the report."""
    planned = None
    cases = 0
    failed = []
    for line in run.get("stdout", "").splitlines():
        if plan := PLAN.match(line):
            planned = int(plan.group(1))
            if planned == 0 and plan.group(2) is not None:
                report["skipped"].append([program, plan.group(2).strip() or "no reason given"])
        elif case := CASE.match(line):
            bad, _, name, directive, reason = case.groups()
            cases += 1
            directive = (directive or "").upper()
            name = f"{program}: {name.strip()}"
            if directive == "SKIP" and not bad:
                report["skipped"].append([name, (reason or "").strip() or "no reason given"])
            elif bad and directive != "TODO":
                failed.append([name, "failed"])
            else:
                report["passed"] += 1
    status = run.get("returncode", 0)
    if run["result"] == "TIMEOUT":
        failed.append([program, f"timed out after {cases} cases"])
    elif planned is None:
        failed.append([program, f"ended after {cases} cases without its plan, status {status}"])
    elif planned != cases:
        failed.append([program, f"planned {planned} cases and ran {cases}"])
    elif run["result"] in ("ERROR", "INTERRUPT") and not failed:
        failed.append([program, f"all cases passed, and then it ended with status {status}"])
    report["failed"] += failed


def count_plain(program, run, report):
    result = run["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        report["passed"] += 1
    elif result == "SKIP":
        lines = run.get("stdout", "").strip().splitlines()
        report["skipped"].append([program, lines[-1] if lines else "no reason given"])
    else:
        report["failed"].append([program, f"{result}, status {run.get('returncode')}"])


def count_build(build, meson_status):
    protocols = {}
    for test in json.loads((build / "meson-info" / "intro-tests.json").read_text()):
        protocols[test["name"]] = test["protocol"]
    report = new_report()
    log = build / "meson-logs" / "testlog.json"
    runs = log.read_text().splitlines() if log.exists() else []
    for line in runs:
        run = json.loads(line)
        # "project:suite / name" where the tests are in suites.
        program = run["name"] if run["name"] in protocols else run["name"].split(" / ", 1)[-1]
        (count_tap if protocols.get(program) == "tap" else count_plain)(program, run, report)
    if (meson_status != 0 or not runs) and not report["failed"]:
        what = "no test ran" if not runs else "all tests passed"
        report["failed"].append(["meson test", f"{what}, and its status was {meson_status}"])
    return report


def print_report(report):
    for name, reason in report["skipped"]:
        print(f"skipped: {name} ({reason})")
    for name, reason in report["failed"]:
        print(f"FAILED: {name} ({reason})")
    print(f"{report['passed']} passed, {len(report['failed'])} failed, {len(report['skipped'])} skipped", flush=True)


def finish(report, json_file):
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1) + "\n")
    print_report(report)
    return 1 if report["failed"] else 0


def add_lanes(files):
    total = new_report()
    for file in files:
        lane = file.stem
        try:
            report = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            report = {**new_report(), "failed": [[lane, f"left no report: {error}"]]}
        total["passed"] += report["passed"]
        for kind in ("failed", "skipped"):
            total[kind] += [[f"{lane}: {name}", reason] for name, reason in report[kind]]
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    count = commands.add_parser("count", help="count what the last `meson test` in a build directory did")
    count.add_argument("build", type=pathlib.Path)
    count.add_argument("--meson-status", type=int, default=0)
    broken = commands.add_parser("broken", help="report one failure: nothing could be run")
    broken.add_argument("reason")
    passed = commands.add_parser("passed", help="report one check that passed")
    add = commands.add_parser("add", help="add reports up, one file a lane")
    add.add_argument("files", type=pathlib.Path, nargs="+")
    for command in (count, broken, passed, add):
        command.add_argument("--json", type=pathlib.Path, help="write the report here, too")
    arguments = parser.parse_args()

    if arguments.command == "count":
        report = count_build(arguments.build, arguments.meson_status)
    elif arguments.command == "broken":
        report = {**new_report(), "failed": [["check", arguments.reason]]}
    elif arguments.command == "passed":
        report = {**new_report(), "passed": 1}
    else:
        report = add_lanes(arguments.files)
    return finish(report, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
