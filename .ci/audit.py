"""Checks of `make lint` for secrets in tracked files and known vulnerabilities in the installed packages.

The second check needs the network. Without it, the check is skipped and does not fail.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 15
ACCEPTED: dict[str, str] = {}  # a vulnerability's id → why it does not affect us

# Keys and tokens with a known format. Ruff finds other hard-coded passwords (S105 to S107).
SECRETS = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{22,}\b"
    r"|\bglpat-[\w-]{20,}\b"
    r"|\bxox[abprs]-[0-9A-Za-z-]{10,}\b"  # Slack
    r"|\bAIza[\w-]{35}\b"  # Google
    r"|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\bpypi-[\w-]{50,}\b"
    r"|\bsk-[A-Za-z0-9_-]{32,}\b"
)
SECRET_FILES = re.compile(r"(^|/)(\.env|secrets\.json|id_(rsa|ecdsa|ed25519)|\.netrc|\.pypirc)$|\.(pem|key|p12|pfx)$")


def secrets() -> list[str]:
    """Tracked files whose name or content is a secret, as findings without the secret itself."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    findings = []
    for name in filter(None, listed.split("\0")):
        if SECRET_FILES.search(name):
            findings.append(f"{name}: a file of this name holds secrets, do not track it")
        if Path(name).is_file():
            for number, line in enumerate(Path(name).read_text(errors="replace").splitlines(), 1):
                if SECRETS.search(line):
                    findings.append(f"{name}:{number}: looks like a key or token")
    return findings


def vulnerabilities() -> list[str]:
    """Installed packages with a known vulnerability."""
    audit = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format=json"]
    try:
        done = subprocess.run(
            [*audit, "--timeout=3", "--progress-spinner=off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        print("pip-audit: skipped, no network")
        return []
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        print("pip-audit: skipped, its service knows none of the installed packages")
        return []
    print(f"pip-audit: {len(audited)} packages looked up")
    return [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'none'}"
        for package in audited
        for vulnerability in package["vulns"]
        if vulnerability["id"] not in ACCEPTED
    ]


if __name__ == "__main__":
    all_findings = secrets() + vulnerabilities()
    print("\n".join(all_findings) or "audit: nothing found")
    sys.exit(bool(all_findings))
