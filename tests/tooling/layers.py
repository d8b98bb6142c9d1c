"""Reads the #include lines of src/, include/ and tools/ and names every arrow that the layers forbid.

Lower layers know nothing of higher ones, the three parts of layer 4 know nothing of each other, each foreign library is
included in one folder only, and a public header shows none of them.
"""

import re

# What each folder of src/ may include besides itself. Everything may include core.
MAY_INCLUDE = {
    "core": [],
    "loop": ["core"],
    "uring": ["core"],
    "gpu": ["core"],
    "format": ["core"],
    "staging": ["format", "gpu", "loop", "uring", "core"],
    "executor": ["format", "gpu", "loop", "uring", "core"],
    "barrier": ["format", "gpu", "loop", "uring", "core"],
    "checkpoint": ["staging", "executor", "barrier", "format", "gpu", "loop", "uring", "core"],
}

# A public header belongs to the layer that implements it.
HEADER_LAYER = {
    "asio.hpp": "core",
    "error.hpp": "core",
    "future.hpp": "core",
    "promise.hpp": "core",
    "run.hpp": "core",
    "scheduler.hpp": "core",
    "scope.hpp": "core",
    "task.hpp": "core",
    "version.hpp": "core",
    "when_all.hpp": "core",
    "device.hpp": "format",
    "dtype.hpp": "format",
    "state.hpp": "format",
    "tensor.hpp": "format",
    "staging.hpp": "staging",
    "barrier.hpp": "barrier",
    "rank_info.hpp": "barrier",
    "cairn.hpp": "checkpoint",
    "checkpointer.hpp": "checkpoint",
    "config.hpp": "checkpoint",
    "executor_main.hpp": "checkpoint",
    "options.hpp": "checkpoint",
    "process.hpp": "checkpoint",
    "reader.hpp": "checkpoint",
    "saving.hpp": "checkpoint",
    "writer.hpp": "checkpoint",
    "detail/affinity.hpp": "core",
}

# Public headers that may show a foreign library, and which; they stay out of cairn.hpp.
ADAPTERS = {"asio.hpp": "asio", "cuda.hpp": "cuda", "nccl.hpp": "nccl"}

# Foreign libraries: how their headers are called, and the one folder that includes them.
FOREIGN = {
    "asio": (r"asio(\.hpp|/.*)", ["src/loop"]),
    "liburing": (r"liburing(\.h|/.*)", ["src/uring"]),
    "cuda": (r"cuda.*\.h|driver_types\.h", ["src/gpu"]),
    "nccl": (r"nccl\.h", ["src/barrier"]),
    "nlohmann/json": (r"nlohmann/.*", ["src/format"]),
    "xxHash": (r"xxh(ash|3)\.h", ["src/format"]),
    "CLI11": (r"CLI/.*", ["tools"]),
    "fmt": (r"fmt/.*", ["tools"]),
}

STANDARD = re.compile(r"[a-z_0-9]+")
SYSTEM = re.compile(
    r"(sys|linux|asm|netinet|arpa|net)/[\w/]+\.h|"
    r"(alloca|dirent|dlfcn|endian|errno|fcntl|grp|immintrin|limits|netdb|poll|pthread|pwd|sched|signal|spawn|stdio|stdlib|string|syscall|"
    r"time|unistd|x86intrin)\.h"
)
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def _sources(root, folder):
    base = root / folder
    return sorted(path for path in base.rglob("*") if path.suffix in (".cpp", ".hpp", ".h")) if base.exists() else []


def _layer_of(root, path):
    """The layer a file belongs to, and why it has none."""
    parts = path.relative_to(root).parts
    if parts[0] == "src":
        return (parts[1], None) if parts[1] in MAY_INCLUDE else (None, f"src/{parts[1]} is no layer")
    name = "/".join(parts[2:])
    if name in HEADER_LAYER:
        return HEADER_LAYER[name], None
    return None, f"{name} has no layer: add it to HEADER_LAYER in tests/tooling/layers.py"


def _target_layer(root, path, spelled):
    """The layer that an include leads to; None when it is not ours."""
    if spelled.startswith("cairn/"):
        return HEADER_LAYER.get(spelled.removeprefix("cairn/"), "unknown")
    first = spelled.split("/")[0]
    if first in MAY_INCLUDE and "/" in spelled:
        return first
    beside = path.parent / spelled
    return _layer_of(root, beside.resolve())[0] if beside.exists() else None


def _foreign_library(spelled):
    for library, (pattern, folders) in FOREIGN.items():
        if re.fullmatch(pattern, spelled):
            return library, folders
    return None, []


def violations(root):
    """Every forbidden include under `root`, as a list of lines of text."""
    root = root.resolve()
    found = []
    for path in _sources(root, "include/cairn") + _sources(root, "src") + _sources(root, "tools"):
        relative = path.relative_to(root).as_posix()
        layer = None
        if not relative.startswith("tools/"):
            layer, problem = _layer_of(root, path)
            if problem:
                found.append(f"{relative}: {problem}")
                continue
        for _, spelled in INCLUDE.findall(path.read_text()):
            problem = _judge(root, path, relative, layer, spelled)
            if problem:
                found.append(f"{relative} includes {spelled}: {problem}")
    return found


def _judge(root, path, relative, layer, spelled):
    public = relative.startswith("include/")
    if ".." in spelled.split("/"):
        return "includes start at src/ or include/"
    library, folders = _foreign_library(spelled)
    if library:
        if public:
            adapter = ADAPTERS.get(relative.removeprefix("include/cairn/"))
            return None if adapter == library else f"no {library} in a public header"
        folder = "/".join(relative.split("/")[: 1 if relative.startswith("tools/") else 2])
        return None if folder in folders else f"{library} stays in {' and '.join(folders)}"
    target = _target_layer(root, path, spelled)
    if target == "unknown":
        return "a public header without a layer: add it to HEADER_LAYER in tests/tooling/layers.py"
    if target is None:
        known = STANDARD.fullmatch(spelled) or SYSTEM.fullmatch(spelled)
        if layer is None and (path.parent / spelled).exists():
            known = True
        return None if known else "neither ours, nor standard, nor a foreign library that is known"
    if public and not spelled.startswith("cairn/"):
        return "a public header includes public headers only"
    if layer is not None and target != layer and target not in MAY_INCLUDE[layer]:
        return f"{layer} may not know {target}"
    return None


def unlisted_headers(root):
    """Public headers that meson.build does not install, or that cairn.hpp leaves out."""
    folder = root / "include/cairn"
    installed = set(re.findall(r"'([\w/]+\.hpp)'", (folder / "meson.build").read_text()))
    umbrella = folder / "cairn.hpp"
    gathered = {name for _, name in INCLUDE.findall(umbrella.read_text())} if umbrella.exists() else None
    found = []
    for path in _sources(root, "include/cairn"):
        name = path.relative_to(folder).as_posix()
        if name not in installed:
            found.append(f"{name} is not listed in include/cairn/meson.build")
        if gathered is None or name == "cairn.hpp" or name in ADAPTERS or name.startswith("detail/"):
            continue
        if f"cairn/{name}" not in gathered:
            found.append(f"{name} is not in cairn.hpp")
    return found
