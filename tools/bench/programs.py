"""The programs that are compared: cdarts, and a Python interpreter that has PyTorch."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent

ENVIRONMENT = """environment:
  TORCH_PYTHON      the interpreter that has PyTorch (needed)
  CDARTS            the program; by default release/cdarts in CARGO_TARGET_DIR, or in target/ of this checkout"""


class Failure(Exception):
    """What went wrong, and what to do about it."""

    def __init__(self, message, hint):
        super().__init__(message)
        self.hint = hint


def program():
    """The cdarts binary."""
    if named := os.environ.get("CDARTS"):
        found, hint = Path(named), "CDARTS must name the program"
    else:
        target = os.environ.get("CARGO_TARGET_DIR") or HERE.parents[1] / "target"
        found = Path(target) / "release" / "cdarts"
        hint = "build it by `cargo build --release`, or name it in CDARTS"
    if not os.access(found, os.X_OK) or found.is_dir():
        raise Failure(f"there is no program at {found}", hint)
    return str(found.resolve())


def interpreter():
    """The Python that has PyTorch."""
    python = os.environ.get("TORCH_PYTHON")
    if not python:
        raise Failure("TORCH_PYTHON is not set", "set it to a Python interpreter that has PyTorch")
    try:
        subprocess.run([python, "-c", "import torch"], check=True, capture_output=True)
    except OSError as error:
        raise Failure(
            f"TORCH_PYTHON={python} does not start: {error.strerror}", "set it to an interpreter"
        ) from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Failure(
            f"TORCH_PYTHON={python} cannot import torch: {' '.join(last)}",
            "install PyTorch for it: `pip install torch`",
        ) from error
    return python
