"""Loads what the leaves share, once, in the launcher: the forks then start in milliseconds."""

from __future__ import annotations

import os
import socket

from actors.hosting.board import Board
from actors.hosting.shared import SUPERVISOR, Shared
from actors.runtime import Runtime
from launch.topology_file import load_actor, make_settings


def shared_of(runtime: Runtime) -> Shared:
    """Classes, settings and the board of a tree; the root's line comes with each start."""
    nodes = runtime.tree.walk()
    classes = {node.name: load_actor(node.actor or SUPERVISOR) for node in nodes}
    settings = {
        node.name: make_settings(classes[node.name].SETTINGS, node.settings) for node in nodes
    }
    placeholder, other = socket.socketpair()
    placeholder.close()
    other.close()
    return Shared(
        runtime=runtime,
        board=Board(runtime.tree),
        classes=classes,
        settings=settings,
        launcher_pid=os.getpid(),
        control=placeholder,
    )
