import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# JAX reads these when it is imported; the programs that tests start inherit them.
_DEFAULTS = {
    # Parity tolerances are those of the CPU; set another to run the tests on an accelerator.
    "JAX_PLATFORMS": "cpu",
    # Tiny networks run for milliseconds and compile for seconds: skip what makes programs fast,
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    # and keep the programs for the other workers and the next run; `make clean` removes them.
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Let compiled programs go, which otherwise add up to 10 GiB over all files."""
    yield
    # Imported late: the variables above must be set before.
    import jax

    jax.clear_caches()


@pytest.fixture(scope="module")
def full_optimization():
    """Compile as users do, for tests that need the last digits or much arithmetic."""
    import jax

    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


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
