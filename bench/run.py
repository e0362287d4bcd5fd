"""`make bench`: every measurement of this folder, one after the other, as a table.

    sudo .venv/bin/python bench/run.py [NAME …]

Each file has `measure() -> list[Row]` and says in its docstring how it measures. Figures are medians; ratios
compare what was measured side by side in one run. This machine's speed drifts: compare rows of one run, not of two.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/support")]

ORDER = (
    *("startup", "api", "deployment", "idle", "resolver", "services", "serviceproxy"),
    *("gateway", "ingresses", "awake", "xdspush"),
)


def main(chosen: list[str]) -> None:
    for name in chosen or ORDER:
        module = importlib.import_module(name)
        began = time.monotonic()
        print(f"\n## {name}: {(module.__doc__ or '').strip().splitlines()[0]}", flush=True)
        for row in module.measure():
            print(f"  {row.what:<62} {row.value:>12} {row.unit:<8} {row.note}", flush=True)
        print(f"  ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main(sys.argv[1:])
