"""``python -m tierfold`` is the program `tierfold`."""

from __future__ import annotations

from tierfold.cli import main

if __name__ == "__main__":
    main(prog_name="tierfold")
