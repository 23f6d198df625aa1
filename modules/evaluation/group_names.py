"""Names of the groups of classes: head, middle and tail."""

from __future__ import annotations

from typing import Literal

Group = Literal["head", "middle", "tail"]
GROUPS: tuple[Group, ...] = ("head", "middle", "tail")
