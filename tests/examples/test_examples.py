"""Runs the programs of examples/ as a newcomer does.

usage: test_examples.py MINIMAL_TRAINER DEMO
"""

import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from tap import case, expect, run  # noqa: E402

MINIMAL_TRAINER, DEMO = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])


def output_of(arguments, directory, status=0):
    """Runs a program in a directory; answers its output, and fails with all of it when it ends otherwise."""
    done = subprocess.run(
        arguments, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect(done.returncode == status, f"{arguments} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def whole_checkpoints(runs):
    """Name and inode of each: a checkpoint that is written again has another inode."""
    return {path.parent.name: path.parent.stat().st_ino for path in runs.glob("*/manifest.json")}


@case("the README's trainer saves, and has nothing left to do when it is started again")
def _():
    with tempfile.TemporaryDirectory() as directory:
        runs = pathlib.Path(directory) / "runs" / "a"
        output_of([MINIMAL_TRAINER], directory)
        first = whole_checkpoints(runs)
        expect(set(first) == {f"step-{step}" for step in range(100, 1001, 100)}, f"it saved {sorted(first)}")
        output_of([MINIMAL_TRAINER], directory)
        expect(whole_checkpoints(runs) == first, "it saved again")


@case("the demo ends well, and keeps its checkpoints where it is told to")
def _():
    with tempfile.TemporaryDirectory() as directory:
        kept = pathlib.Path(directory) / "kept"
        output = output_of([DEMO, "--steps", "80", "--every", "10", "--dir", kept], directory)
        expect(output.splitlines()[-1] == "demo: ok", output)
        expect(output.count("SIGKILL while") == 2, output)
        for name in ("uninterrupted", "interrupted"):
            found = whole_checkpoints(kept / name)
            expect(set(found) == {"step-000070", "step-000080"}, f"{name} holds {sorted(found)}")
            leftovers = {path.name for path in (kept / name).iterdir()} - set(found) - {"losses.txt"}
            expect(not leftovers, f"{name} holds {sorted(leftovers)} too")


@case("the demo learns the text that it is given, and says why it failed")
def _():
    with tempfile.TemporaryDirectory() as directory:
        text = pathlib.Path(directory) / "short.txt"
        text.write_text("too short")
        output = output_of([DEMO, "--text", text], directory, status=1)
        expect("the text has 9 bytes" in output, output)
        expect(output.splitlines()[-1] == "demo: FAILED train ended with status 1", output)


sys.exit(run())
