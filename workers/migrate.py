"""Bring the database up to date: ``python -m workers.migrate``. Schema first, then what is built in."""

from __future__ import annotations

from storage.database import Database
from storage.migrate import upgrade
from storage.models import Models
from storage.registry import Registry
from storage.settings import DatabaseSettings
from workers.logs import configure_logs, get_logger
from workers.settings import BUILT_IN_PIPELINES, settings_or_exit

log = get_logger(__name__)


def main() -> None:
    """Migrate, then register the built-in pipelines and models, which web offers before a worker is up."""
    settings = settings_or_exit(DatabaseSettings)
    configure_logs("migrate")
    url = settings.database_url.get_secret_value()
    upgrade(url)
    log.info("schema.at_head")
    database = Database(url, pool_size=1)
    try:
        register_built_ins(Registry(database), Models(database))
    finally:
        database.close()


def register_built_ins(registry: Registry, models: Models) -> None:
    """Register what comes with the project. Raises: DatabaseUnavailable."""
    from pipeline.models.shelf import open_shelf  # noqa: PLC0415 - not before the schema is there: it takes a second
    from pipeline.pipelines.catalog import load_pipelines  # noqa: PLC0415
    from workers.serving import register, register_models  # noqa: PLC0415

    pipelines, shelf = load_pipelines(BUILT_IN_PIPELINES), open_shelf()
    register(registry, pipelines)
    register_models(models, shelf)
    log.info("built_ins.registered", pipelines=sorted(pipelines), models=[card.name for card in shelf.cards()])


if __name__ == "__main__":
    main()
