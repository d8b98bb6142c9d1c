"""Installs the build into an empty place and builds a trainer against it as its users do: with one bare compiler line
from pkg-config, shared and static, with g++ and clang; with CMake; and as a Meson subproject.

usage: test_install.py BUILD_DIRECTORY
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from tap import Skip, case, expect, run  # noqa: E402

BUILD = pathlib.Path(sys.argv[1])
CONSUMER = HERE / "consumer.cpp"
scratch = pathlib.Path(tempfile.mkdtemp(prefix="cairn-install-"))
stage = scratch / "stage"


def command(arguments, **options):
    """Runs a command; answers its output, and fails with all of it."""
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    expect(done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def find_one(pattern, below=stage):
    found = sorted(below.rglob(pattern))
    expect(found, f"{pattern} is not installed")
    return found[0]


def clang():
    for name in ("clang++-19", "clang++-20", "clang++-21", "clang++-18", "clang++-17", "clang++"):
        if shutil.which(name):
            return name
    raise Skip("no clang++ here")


def pkg_config_environment(place):
    """pkg-config sees `place` as the root that cairn was installed under; the rest of the system stays as it is."""
    folder = find_one("cairn.pc", place).parent
    return {**os.environ, "PKG_CONFIG_PATH": str(folder), "PKG_CONFIG_SYSROOT_DIR": str(place)}


def run_consumer(program, library_folder):
    """Runs the trainer as on a machine where cairn is installed."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_folder)}
    # The test must not find the executor of this tree by accident of who calls it.
    environment.pop("CAIRN_EXECUTOR", None)
    output = command([str(program), str(scratch / (program.name + "-runs"))], env=environment, timeout=300)
    expect("consumer: ok" in output, output)


def bare_line(compiler, flags, place, name):
    """Builds and runs the consumer with nothing but what pkg-config says."""
    program = scratch / name
    line = f"{compiler} -std=c++20 {CONSUMER} $(pkg-config --cflags --libs {flags} cairn) -o {program}"
    command(["sh", "-ec", line], env=pkg_config_environment(place))
    return program


def static_stage():
    """The installation without its shared library: the linker has no choice."""
    place = scratch / "static-stage"
    if not place.exists():
        shutil.copytree(stage, place, symlinks=True)
        for shared in place.rglob("libcairn.so*"):
            shared.unlink()
    return place


@case("meson install puts headers, both libraries, pkg-config and CMake files in place")
def _():
    command(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--destdir", str(stage)])
    for pattern in ("cairn/cairn.hpp", "cairn/version.hpp", "libcairn.a", "libcairn.so", "cairn.pc", "cairn-config.cmake"):
        find_one(pattern)
    headers = {path.name for path in (ROOT / "include" / "cairn").glob("*.hpp")}
    installed = {path.name for path in find_one("cairn/cairn.hpp").parent.glob("*.hpp")}
    expect(headers <= installed, f"not installed: {sorted(headers - installed)}")


@case("the programs cairn and cairn-executor are installed, and run")
def _():
    for name in ("cairn", "cairn-executor"):
        program = find_one(f"bin/{name}")
        expect(os.access(program, os.X_OK), f"{program} is not executable")
    library = find_one("libcairn.so").parent
    output = command([str(find_one("bin/cairn")), "--version"], env={**os.environ, "LD_LIBRARY_PATH": str(library)})
    expect(re.search(r"\d+\.\d+\.\d+", output), output)


@case("pkg-config asks its users for nothing that only our sources need")
def _():
    text = find_one("cairn.pc").read_text()
    for name in ("nlohmann", "asio", "catch2", "CLI11", "fmt"):
        expect(name not in text, f"{name} in cairn.pc:\n{text}")


@case("a trainer builds with one bare line of g++ and the shared library, and runs")
def _():
    if not shutil.which("g++"):
        raise Skip("no g++ here")
    run_consumer(bare_line("g++", "", stage, "gcc-shared"), find_one("libcairn.so").parent)


@case("a trainer builds with one bare line of clang++ and the shared library, and runs")
def _():
    run_consumer(bare_line(clang(), "", stage, "clang-shared"), find_one("libcairn.so").parent)


@case("a trainer builds with one bare line of g++ and the static library, and runs alone")
def _():
    if not shutil.which("g++"):
        raise Skip("no g++ here")
    program = bare_line("g++", "--static", static_stage(), "gcc-static")
    expect("libcairn" not in command(["ldd", str(program)]), "it needs the shared library")
    run_consumer(program, "/nonexistent")


@case("a trainer builds with one bare line of clang++ and the static library, and runs alone")
def _():
    program = bare_line(clang(), "--static", static_stage(), "clang-static")
    expect("libcairn" not in command(["ldd", str(program)]), "it needs the shared library")
    run_consumer(program, "/nonexistent")


@case("a trainer builds with CMake's find_package, shared and static, and runs")
def _():
    if not shutil.which("cmake"):
        raise Skip("no cmake here")
    package = find_one("cairn-config.cmake").parent
    for target in ("cairn::cairn", "cairn::cairn_static"):
        build = scratch / target.replace("::", "-")
        command(["cmake", "-S", str(HERE), "-B", str(build), f"-Dcairn_DIR={package}", f"-DCAIRN_TARGET={target}"])
        command(["cmake", "--build", str(build)])
        program = (build / "consumer").rename(build / f"cmake-{target.replace('::', '-')}")
        run_consumer(program, find_one("libcairn.so").parent)


@case("a Meson project finds cairn as its subproject, without cairn's tests")
def _():
    project = scratch / "project"
    (project / "subprojects").mkdir(parents=True)
    shutil.copy(CONSUMER, project / "consumer.cpp")
    shutil.copy(HERE / "subproject_meson.build", project / "meson.build")
    (project / "subprojects" / "cairn").symlink_to(ROOT)
    output = command(["meson", "setup", "build", "--wrap-mode=nodownload"], cwd=project)
    expect(re.search(r"Dependency cairn.*found: YES", output), output)
    expect("catch2" not in output, output)


if __name__ == "__main__":
    try:
        status = run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(status)
