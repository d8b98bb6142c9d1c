"""TAP 13 for tests that are Python programs: register functions with @case, then `sys.exit(run())`."""

import traceback

_cases = []


class Skip(Exception):
    """Raised by a case that cannot be run here; its text is the reason."""


def case(name):
    """Makes a function a test case. It passes when it returns, and fails when it raises."""

    def register(function):
        _cases.append((name, function))
        return function

    return register


def run():
    """Runs all cases; answers the exit status."""
    print("TAP version 13", flush=True)
    failed = 0
    for number, (name, function) in enumerate(_cases, start=1):
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:  # noqa: BLE001 any failure of a case is its result
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"#   {line}", flush=True)
    print(f"1..{len(_cases)}", flush=True)
    return 1 if failed else 0


def expect(condition, text):
    if not condition:
        raise AssertionError(text)
