"""Every figure that the README may quote, printed by one command: `python -m bench` (R20)."""
