"""Bring the table of animators in docs/models/README.md up to date.

It is made from the presets in the code; a test compares the two.
"""

import sys
from pathlib import Path

from tpc_jax.errors import UserError
from tpc_jax.report.models import write_table

if __name__ == "__main__":
    try:
        write_table(Path(__file__).parents[1] / "docs" / "models" / "README.md")
    except UserError as error:
        sys.exit(f"models_table: {error}")
