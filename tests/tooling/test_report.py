"""Pins how ./dev counts: what a crash, a timeout and a missing plan are worth, and that the exit status agrees."""

import contextlib
import importlib.util
import io
import json
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from tap import case, expect, run  # noqa: E402

specification = importlib.util.spec_from_file_location("test_report", ROOT / "tools" / "ci" / "test_report.py")
test_report = importlib.util.module_from_spec(specification)
specification.loader.exec_module(test_report)


def counted(*runs, meson_status=0):
    """The counts of a build directory whose tests ended so; a run is (protocol, result, status, output)."""
    with tempfile.TemporaryDirectory() as directory:
        build = pathlib.Path(directory)
        (build / "meson-info").mkdir()
        (build / "meson-logs").mkdir()
        tests = [{"name": f"t{number}", "protocol": given[0]} for number, given in enumerate(runs)]
        (build / "meson-info" / "intro-tests.json").write_text(json.dumps(tests))
        lines = [
            json.dumps({"name": f"t{number}", "result": result, "returncode": status, "stdout": output})
            for number, (_, result, status, output) in enumerate(runs)
        ]
        (build / "meson-logs" / "testlog.json").write_text("\n".join(lines))
        report = test_report.count_build(build, meson_status)
        return report["passed"], len(report["failed"]), len(report["skipped"])


def expect_counts(got, expected):
    expect(got == expected, f"expected {expected} passed, failed, skipped, got {got}")


GOOD = "TAP version 13\n# seed 1\nok 1 - a\nok 2 - b # SKIP no device\n1..2\n"


@case("cases are counted, not programs")
def _():
    expect_counts(counted(("tap", "OK", 0, GOOD), ("tap", "OK", 0, GOOD)), (2, 0, 2))


@case("a failed case is one failure, its program none beyond it")
def _():
    expect_counts(counted(("tap", "ERROR", 1, "ok 1 - a\nnot ok 2 - b\n# x\n1..2\n"), meson_status=1), (1, 1, 0))


@case("a program that crashes counts as failed, whatever passed before")
def _():
    expect_counts(counted(("tap", "ERROR", -11, "ok 1 - a\n"), meson_status=1), (1, 1, 0))
    expect_counts(counted(("tap", "ERROR", 66, GOOD), meson_status=1), (1, 1, 1))
    expect_counts(counted(("tap", "ERROR", 134, ""), meson_status=1), (0, 1, 0))


@case("a program that ends before its plan counts as failed, though its status is 0")
def _():
    expect_counts(counted(("tap", "SKIP", 0, "")), (0, 1, 0))
    expect_counts(counted(("tap", "OK", 0, "ok 1 - a\n")), (1, 1, 0))
    expect_counts(counted(("tap", "ERROR", 0, "1..3\nok 1 - a\n")), (1, 1, 0))


@case("a program that times out counts as failed")
def _():
    expect_counts(counted(("tap", "TIMEOUT", -9, GOOD), meson_status=1), (1, 1, 1))


@case("a test without TAP is one case")
def _():
    expect_counts(counted(("exitcode", "OK", 0, ""), ("exitcode", "FAIL", 1, ""), ("exitcode", "SKIP", 77, "why")), (1, 1, 1))


@case("a whole program may skip itself")
def _():
    expect_counts(counted(("tap", "SKIP", 0, "1..0 # SKIP no device\n")), (0, 0, 1))


@case("nothing run, or a failure that only meson saw, is a failure")
def _():
    expect_counts(counted(), (0, 1, 0))
    expect_counts(counted(("tap", "OK", 0, GOOD), meson_status=1), (1, 1, 1))


@case("lanes add up, and one that left no report is a failure")
def _():
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        (folder / "a.json").write_text(json.dumps({"passed": 3, "failed": [], "skipped": [["x", "y"]]}))
        total = test_report.add_lanes([folder / "a.json", folder / "gone.json"])
        expect_counts((total["passed"], len(total["failed"]), len(total["skipped"])), (3, 1, 1))


@case("the last line and the exit status agree")
def _():
    for failed, status in (([], 0), ([["a", "b"]], 1)):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            got = test_report.finish({"passed": 2, "failed": failed, "skipped": []}, None)
        expect(got == status, f"status {got}")
        expect(out.getvalue().splitlines()[-1] == f"2 passed, {len(failed)} failed, 0 skipped", out.getvalue())


if __name__ == "__main__":
    sys.exit(run())
