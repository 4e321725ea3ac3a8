"""The agent as a systemd user service: it runs as the person whose card it is, and serves that person only."""

from __future__ import annotations

import shutil
import sys
from typing import Final

_UNIT: Final = """\
# The reader agent, for the person who installs this:
#   cardreader agent --print-unit > ~/.config/systemd/user/cardreader-agent.service
#   systemctl --user daemon-reload
#   systemctl --user enable --now cardreader-agent
[Unit]
Description=Reader agent for the MyNumber card
# A window for the PIN needs the person's desktop; without one the agent asks on its own page.
PartOf=graphical-session.target
After=graphical-session.target

[Service]
Type=exec
ExecStart={program} agent
Restart=on-failure
RestartSec=5
# What the agent never needs. Its state and trust file lie in the home folder, which stays writable.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UMask=0077
# Nobody reads a PIN out of a crash.
LimitCORE=0

[Install]
WantedBy=graphical-session.target
"""


def unit_file() -> str:
    """The unit for this installation of the program (systemd.service(5))."""
    program = shutil.which("cardreader")
    return _UNIT.format(program=_quote(program) if program else f"{_quote(sys.executable)} -m cardreader")


def _quote(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if " " in path else escaped
