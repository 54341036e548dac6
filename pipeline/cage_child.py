"""The process inside the cage: opens media, answers one request after another, holds nothing worth stealing.

Started by ``pipeline.cage`` as ``python -m pipeline.cage_child <control> <answers> <tokens> <life> <settings>``. Inputs
come as open descriptors; after the start no file can be opened by name. Never imports torch.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys

from pipeline import cage_limits


def main(arguments: list[str]) -> None:
    """Give up privileges, say so, then answer until the parent closes."""
    control_descriptor, answers, tokens, life = (int(text) for text in arguments[:4])
    settings = json.loads(arguments[4])
    network_left = cage_limits.leave_network()
    cage_limits.die_with(life, settings["parent"], main_thread=settings["main_thread"])
    # Only now, as leaving the network needs a process without threads; and before files are shut off.
    from pipeline.acceleration import Acceleration  # noqa: PLC0415
    from pipeline.cage_dialogue import Dialogue  # noqa: PLC0415
    from pipeline.cage_preload import preload  # noqa: PLC0415
    from pipeline.cage_service import Service  # noqa: PLC0415
    from pipeline.cuda import Opening  # noqa: PLC0415

    preload()
    gc.freeze()  # what is loaded stays, and need not be searched after each answer
    os.chdir("/")
    opening = Opening(settings["device"])
    in_force = cage_limits.restrict(
        settings["memory_bytes"], network_left=network_left, device_files=opening.files, open_device=opening.open
    )
    with socket.socket(fileno=control_descriptor) as control:
        dialogue = Dialogue(control, answers, tokens, settings["answer_seconds"])
        dialogue.say({"type": "ready", "in_force": in_force, "device_fault": opening.fault})
        dialogue.serve(Service(settings["limits"], Acceleration(opening.device)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        os._exit(0)  # the parent is gone; nobody is left to tell
