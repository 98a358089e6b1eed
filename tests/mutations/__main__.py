"""Plants each mutation in a copy of the project and runs its tests; exits with 1 if one is not caught.

python -m tests.mutations                   # all
python -m tests.mutations --only window     # those whose name, folder or tests contain "window"
python -m tests.mutations --jobs 2          # two at a time, each in its own copy
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from tests.mutations.catalog import ROOT, Mutation, mutations, plant

_TIMEOUT_S: Final = 180
_TEARDOWN_S: Final = 30
_PASSED, _FAILED = 0, 1  # pytest's exit statuses
_OURS: Final = frozenset({"bench", "tests", "triagem", "__main__", "__mp_main__"})
# Forked, because importing the libraries takes longer than most tests.
_FORK: Final = multiprocessing.get_context("fork")
_LIST_MODULES: Final = """
import sys, pytest
pytest.main(["-qq", "--collect-only", *sys.argv[1:]])
print(*sys.modules)
"""
_OPTIONS: Final = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


def copy_project(folder: Path) -> Path:
    """Copy the tracked and new files of the working tree, links included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder


def import_libraries(tests: Sequence[str]) -> None:
    """Import the libraries that the tests import. Triagem's own modules are imported from the copy later."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # as in tests/conftest.py; read at import
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = [sys.executable, "-c", _LIST_MODULES, "-p", "no:cacheprovider", *tests]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines()[-1].split():
        if name.partition(".")[0] not in _OURS:
            with suppress(Exception):  # some packages have another import name
                importlib.import_module(name)


def run_tests(folder: Path, tests: Sequence[str], output: Path) -> None:
    """Run tests on a copy up to the first failure, and exit with pytest's status. Call it in a forked process.

    No bytecode is written: Python would not notice a mutation of the same length within the same second.
    """
    import pytest

    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
    sys.exit(pytest.main([*_OPTIONS, *tests]))


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutation that is planted in `folder`, and the process that runs its tests."""

    mutation: Mutation
    folder: Path
    file: Path
    original: str
    process: multiprocessing.process.BaseProcess
    started: float

    def ended(self) -> bool:
        """Whether the tests have ended. At the timeout they are interrupted, so that fixtures stop their servers."""
        age, pid = time.monotonic() - self.started, self.process.pid
        if self.process.is_alive() and age > _TIMEOUT_S and pid:
            os.kill(pid, signal.SIGINT)
            self.process.join(_TEARDOWN_S)
            self.process.kill()
            self.process.join()
        return not self.process.is_alive()

    def result(self) -> str:
        """Restore the file. Return `caught` (also if the mutated code hangs), `SURVIVED`, or pytest's errors."""
        self.file.write_text(self.original, encoding="utf-8")
        status = self.process.exitcode
        if status == _FAILED or time.monotonic() - self.started > _TIMEOUT_S:
            return "caught"
        return "SURVIVED" if status == _PASSED else f"exit status {status}: {_output(self.folder).read_text()[-500:]}"


def _output(folder: Path) -> Path:
    return folder.with_suffix(".log")


def _start(folder: Path, tests: Sequence[str]) -> multiprocessing.process.BaseProcess:
    process = _FORK.Process(target=run_tests, args=(folder, tests, _output(folder)))
    process.start()
    return process


def trials(selected: Sequence[Mutation], folders: Sequence[Path]) -> Iterator[Trial]:
    """Run each mutation in one of the copies; yields each when its tests have ended."""
    queue, free = deque(selected), list(folders)
    running: list[Trial] = []
    while queue or running:
        while queue and free:
            mutation, folder = queue.popleft(), free.pop()
            file, original = plant(folder, mutation)
            running.append(Trial(mutation, folder, file, original, _start(folder, mutation.tests), time.monotonic()))
        wait([trial.process.sentinel for trial in running], timeout=1.0)
        for trial in [trial for trial in running if trial.ended()]:
            running.remove(trial)
            yield trial
            free.append(trial.folder)


def main() -> int:
    """Run the selected mutations; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="select by a part of the name, the folder or a test")
    parser.add_argument("--jobs", type=int, default=1, help="mutations to run at a time (default: 1)")
    arguments = parser.parse_args()
    selected = [m for m in mutations() if any(arguments.only in field for field in (m.name, m.where, *m.tests))]
    tests = sorted({test for mutation in selected for test in mutation.tests})
    started, caught = time.monotonic(), 0
    import_libraries(tests)
    with tempfile.TemporaryDirectory() as work:
        folders = [copy_project(Path(work, str(number))) for number in range(arguments.jobs)]
        # A test that fails without a fault would "catch" every mutation.
        unmutated = _start(folders[0], tests)
        unmutated.join()
        if unmutated.exitcode != _PASSED:
            print(f"{_output(folders[0]).read_text()[-4000:]}\nFix these tests first: they fail without a mutation.")
            return 1
        for trial in trials(selected, folders):
            result, seconds = trial.result(), time.monotonic() - trial.started
            caught += result == "caught"
            print(f"{result:8} {seconds:5.1f} s  {trial.mutation.where:14}  {trial.mutation.name}", flush=True)
    elapsed = time.monotonic() - started
    print(f"{len(selected)} mutations, {caught} caught, {len(selected) - caught} not caught, {elapsed:.0f} s")
    return int(caught < len(selected))


if __name__ == "__main__":
    sys.exit(main())
