"""Runs the few tests that failed in `make test` once more, alone and in a new process.

End-to-end tests run with two others on few cores. A test that fails there and passes alone is unstable: the run
continues, and the last line names the test. An unstable test is a bug to fix before the next release. More than three
failed tests are not run again.
"""

import json
import subprocess
import sys
from pathlib import Path

MAX_FAILED = 3
FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    """The exit status of the second run; 1 if there are too many failed tests."""
    failed = sorted(json.loads(FAILED.read_text(encoding="utf-8")))
    if len(failed) > MAX_FAILED:
        return 1
    print(f"\n{len(failed)} failed: running them again, alone", flush=True)
    status = subprocess.run([sys.executable, "-m", "pytest", "-q", *failed], check=False).returncode
    if status == 0:
        print(f"UNSTABLE, failed among other tests, passed alone: {', '.join(failed)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
