"""Write .ci/constraints.txt anew: the newest releases that satisfy pyproject.toml, all of them together.

    python3.11 .ci/pin.py

They are for Python 3.11 on Linux, x86-64, where CI runs. pip finds them out in an environment of its own, and nothing
is installed. A tool that CI needs beyond what it tests belongs to an extra in pyproject.toml, from where it gets here.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib

CI = Path(__file__).resolve().parent
HEADER = """\
# What CI installs, release by release: for Python 3.11 on Linux, x86-64. Made by .ci/pin.py, which takes the newest.
# pip gets it as PIP_CONSTRAINT and, for the environments in which packages are built, as PIP_BUILD_CONSTRAINT.
"""


def requirements():
    """All that pyproject.toml names, and pip itself."""
    project = tomllib.loads((CI.parent / "pyproject.toml").read_text(encoding="utf-8"))
    found = ["pip", *project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        found += extra
    return found


def resolved(wanted):
    """Name and release of everything that pip would install."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_CONSTRAINT")}
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder, "env", "bin", "python"))
        subprocess.run([sys.executable, "-m", "venv", str(Path(folder, "env"))], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True, env=environment)
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report"]
        subprocess.run([*command, str(report), *wanted], check=True, env=environment)
        found = [item["metadata"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    return {re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"].partition("+")[0] for item in found}


def main():
    """Find them out and write them."""
    argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        sys.exit("the pins are those of Python 3.11 on Linux: run this with python3.11 there")
    pins = resolved(requirements())
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    (CI / "constraints.txt").write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{len(lines)} packages")


if __name__ == "__main__":
    main()
