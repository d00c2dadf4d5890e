import os
import subprocess
import sys
from pathlib import Path

import pytest

# Parity tolerances are those of the CPU; set JAX_PLATFORMS to run the tests on an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Let compiled programs go, which otherwise add up to 10 GiB over all files."""
    yield
    # Imported late: the variable above must be set before.
    import jax

    jax.clear_caches()


@pytest.fixture(scope="session")
def run_python():
    """Return a function that runs code in a fresh interpreter and returns what it printed."""

    def run(code: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run
