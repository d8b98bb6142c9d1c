"""Pins what a test program reports: one TAP line a case, reasons of skips, and no plan when it ends too early.

usage: test_support.py SAMPLE_PROGRAM
"""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from tap import case, expect, run  # noqa: E402

SAMPLE = sys.argv[1]


def sample(*arguments, **environment):
    """Runs the sample; answers its lines and its exit status."""
    done = subprocess.run(
        [SAMPLE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, **environment})
    return done.stdout.splitlines(), done.returncode


@case("one line a case, the seed, the reason of a skip, and the plan")
def _():
    lines, status = sample(CAIRN_TEST_SEED="42")
    expected = [
        "TAP version 13", "# seed 42", "ok 1 - passes", "ok 2 - skips   with a mark # SKIP no such device", "1..2"]
    expect(lines == expected, f"{lines}")
    expect(status == 0, f"status {status}")


@case("a failure names file, line, expression, values, messages and section")
def _():
    lines, status = sample("fails in a section")
    expect("not ok 1 - fails in a section" in lines and "1..1" in lines, f"{lines}")
    text = "\n".join(lines)
    for part in ("sample.cpp:", "answer == 42", "41 == 42", "two", "lines", "in section: bad"):
        expect(part in text, f"{part!r} is missing in {lines}")
    expect(all(line.startswith(("#", "not ok", "1..", "TAP")) for line in lines), f"{lines}")
    expect(status == 1, f"status {status}")


@case("an exception is a failure with its text")
def _():
    lines, status = sample("throws")
    expect("not ok 1 - throws" in lines and "boom" in "\n".join(lines), f"{lines}")
    expect(status == 1, f"status {status}")


@case("a case that failed before it skipped has failed")
def _():
    lines, _ = sample("fails and skips")
    expect("not ok 1 - fails and skips" in lines, f"{lines}")


@case("a program that exits in a case has no plan")
def _():
    lines, _ = sample("exits")
    expect(not any(line.startswith("1..") for line in lines), f"{lines}")


@case("a crash is no success")
def _():
    for name in ("crashes", "destroys twice"):
        lines, status = sample(name)
        expect(status not in (0, 1), f"{name}: status {status}")
        expect(not any(line.startswith("ok") for line in lines), f"{lines}")


@case("another reporter may be chosen")
def _():
    lines, status = sample("-r", "console", "passes")
    expect(status == 0 and not any(line.startswith(("TAP", "ok ")) for line in lines), f"{lines}")


if __name__ == "__main__":
    sys.exit(run())
