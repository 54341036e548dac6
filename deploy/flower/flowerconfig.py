"""Flower in production: behind nginx, with a name and a password, on the operators' port only.

The password comes as FLOWER_BASIC_AUTH (``name:password``), which Flower reads itself. Without it Flower would show
every page to whoever reaches the port, so it does not start.
"""

import os

if ":" not in os.environ.get("FLOWER_BASIC_AUTH", ""):
    raise SystemExit("FLOWER_BASIC_AUTH must be set to name:password")

address = "0.0.0.0"  # noqa: S104 - inside its container; only nginx shares a network with it
port = 5555
url_prefix = "flower"
xheaders = True
# Doorbells are few, and each one's result lists the jobs it ran: this is what an operator searches.
max_tasks = 20_000
purge_offline_workers = 3600
