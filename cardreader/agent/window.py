"""The agent's own PIN window: a program of its own (standard library only), so that any Python with tkinter does.

It reads what to show as one JSON object from standard input, and writes what was typed, and nothing else, to standard
output. It ends with status 0 (typed), 1 (given up or time over) or 3 (no window can be shown).
"""

from __future__ import annotations

import json
import sys
from typing import Any

TYPED, GAVE_UP, NO_WINDOW = 0, 1, 3
_FONT = "Noto Sans CJK JP"


def main() -> int:
    """Show the window for what standard input says."""
    try:
        import tkinter  # noqa: PLC0415  # a Python without it must still be able to say so
    except ImportError:
        return NO_WINDOW
    text = json.loads(sys.stdin.read())
    try:
        root = tkinter.Tk()
    except tkinter.TclError:
        return NO_WINDOW
    typed = _run(tkinter, root, text)
    if typed is None:
        return GAVE_UP
    sys.stdout.write(typed)
    return TYPED


def _run(tk: Any, root: Any, text: dict[str, Any]) -> str | None:
    result: list[str] = []
    root.title(text["title"])
    root.resizable(False, False)
    root.attributes("-topmost", True)
    frame = tk.Frame(root, padx=24, pady=20)
    frame.pack()

    def label(words: str, **options: Any) -> None:
        shown = tk.Label(frame, text=words, justify="left", wraplength=520, anchor="w", font=(_FONT, 12), **options)
        shown.pack(fill="x", pady=2)

    if text["error"]:
        label(text["error"], fg="#ce0000")
    for line in text["lines"]:
        label(line)
    label(text["label"])
    field = tk.Entry(frame, show="●", font=(_FONT, 16), width=20)
    field.pack(anchor="w", pady=8)
    buttons = tk.Frame(frame)
    buttons.pack(anchor="w", pady=8)

    def accept(_: object = None) -> None:
        result.append(field.get())
        root.destroy()

    def give_up(_: object = None) -> None:
        root.destroy()

    tk.Button(buttons, text=text["ok"], command=accept, font=(_FONT, 12), padx=16, pady=8).pack(side="left")
    tk.Button(buttons, text=text["cancel"], command=give_up, font=(_FONT, 12), padx=16, pady=8).pack(
        side="left", padx=12
    )
    root.bind("<Return>", accept)
    root.bind("<Escape>", give_up)
    root.protocol("WM_DELETE_WINDOW", give_up)
    root.after(int(text["seconds"] * 1000), give_up)
    field.focus_force()
    root.mainloop()
    return result[0] if result else None


if __name__ == "__main__":
    sys.exit(main())
