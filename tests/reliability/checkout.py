"""A copy of the checkout, for programs that change or compile it."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = shutil.ignore_patterns(".git", "build", "dist", "dev", "*.so", "__pycache__", "_build", ".*_cache", ".cov*")


def copy_to(folder: Path) -> None:
    """Copy the sources, changes that are not committed included, and nothing that was built."""
    shutil.copytree(ROOT, folder, ignore=BUILT, dirs_exist_ok=True)
