"""Pins the README's trainer to the program that is compiled and run."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from tap import case, expect, run  # noqa: E402


@case("the README's trainer is examples/minimal_trainer.cpp, to the letter")
def _():
    readme = (ROOT / "README.md").read_text()
    program = (ROOT / "examples" / "minimal_trainer.cpp").read_text()
    shown = re.search(r"```cpp\n(.*?)```", readme, re.DOTALL).group(1)
    compiled = re.search(r"^// \[trainer\]\n(.*?)^// \[/trainer\]$", program, re.DOTALL | re.MULTILINE).group(1)
    expect(shown == compiled, "the block between the marks differs from the README's first one")


@case("every file that the README names is there")
def _():
    readme = (ROOT / "README.md").read_text()
    names = re.findall(r"`((?:docs|examples|include|tests|src)/[\w./-]+)`|`([A-Z]+\.md)`", readme)
    missing = [name for pair in names for name in pair if name and not (ROOT / name).exists()]
    expect(names and not missing, f"missing: {missing}")


if __name__ == "__main__":
    sys.exit(run())
