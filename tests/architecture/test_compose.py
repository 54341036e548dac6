"""Production as docker-compose.yml describes it: valid, closed, and told everything our processes may be told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from deploy.env_example import PROCESSES, settings_of
from tests.architecture.compose_file import (
    COMPOSE,
    REPOSITORY,
    environment_of,
    interpolated,
    passed_through,
    read_compose,
    services,
    texts,
)

SERVICES = services()
ONE_SHOT = {"migrate", "models", "minio-owner", "minio-setup"}
#: files of other projects in a package that tests depend on; the compose specification's schema is Apache-2.0
SCHEMAS = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"


class UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice, which plain YAML readers swallow."""


def _mapping(loader: UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [key.value for key, _ in node.value if key.value != "<<"]
    assert len(names) == len(set(names)), f"a key twice near line {node.start_mark.line + 1}"
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def test_the_file_fits_the_schema_of_the_compose_specification() -> None:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(read_compose())] == []
    misspelt = read_compose()
    misspelt["services"]["web"]["healthchekc"] = {}
    assert not validator.is_valid(misspelt)


def test_no_key_is_given_twice() -> None:
    with COMPOSE.open(encoding="utf-8") as file:
        assert yaml.load(file, UniqueKeys)["services"].keys() == SERVICES.keys()


def test_every_part_of_the_design_is_there() -> None:
    parts = {
        "nginx",
        "web",
        "dispatcher",
        "migrate",
        "worker-cpu",
        "worker-gpu",
        "postgres",
        "redis",
        "minio",
        "flower",
    }
    assert parts <= SERVICES.keys()
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


def test_what_a_service_waits_for_exists_and_can_say_that_it_is_ready() -> None:
    for name, service in SERVICES.items():
        for other, wish in (service.get("depends_on") or {}).items():
            condition = wish["condition"]
            assert other in SERVICES, f"{name} waits for {other}"
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert condition == expected, f"{name} waits for {other} by {condition}"


def test_what_a_profile_may_leave_out_is_never_required_by_what_stays() -> None:
    for name, service in SERVICES.items():
        for other, wish in (service.get("depends_on") or {}).items():
            extra = set(SERVICES[other].get("profiles", [])) - set(service.get("profiles", []))
            assert not extra or wish.get("required") is False, f"{name} needs {other} of profile {extra}"


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_locked_in(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["pids_limit"] <= 1024
    assert not service.get("privileged")
    assert "docker.sock" not in " ".join(texts(service))
    limits = service["deploy"]["resources"]["limits"]
    assert limits["memory"]
    assert limits["cpus"]
    if "build" in service and "user" not in service:
        assert re.search(r"^USER 10001:10001$", _dockerfile(service), re.MULTILINE)
    elif name == "minio-owner":
        assert (service["cap_add"], service["network_mode"]) == (["CHOWN"], "none")
    else:
        user = service["user"]
        assert user.split(":")[0] not in {"0", "root"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_tells_whether_it_is_well_or_ends(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] in {"no", "on-failure:3"}
        return
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (REPOSITORY / service["build"]["dockerfile"]).is_file()
        return
    _, _, tag = service["image"].rpartition(":")
    assert re.search(r"\d+\.\d+\.\d+|\d+\.\d+$|RELEASE\.\d{4}-\d{2}-\d{2}T", tag), service["image"]


def test_only_nginx_is_reached_from_outside_and_the_operators_port_only_from_the_host() -> None:
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["nginx"]
    public, operators = SERVICES["nginx"]["ports"]
    assert public.endswith(":8080")
    assert operators.startswith("127.0.0.1:")
    assert operators.endswith(":8081")


def test_data_services_and_workers_have_no_way_out() -> None:
    networks = read_compose()["networks"]
    internal = {name for name, network in networks.items() if (network or {}).get("internal")}
    for name in ("web", "worker-cpu", "worker-gpu", "migrate", "postgres", "redis", "minio", "flower"):
        assert set(SERVICES[name]["networks"]) <= internal, name
    assert "data" not in SERVICES["nginx"]["networks"]


def test_workers_have_time_to_give_their_claims_back() -> None:
    for name in ("worker-cpu", "worker-gpu"):
        assert SERVICES[name]["stop_grace_period"] == "30s"


def test_there_are_no_default_secrets() -> None:
    secret = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|ROOT_USER|BASIC_AUTH")
    found = {name: rest for name, rest in interpolated() if secret.search(name)}
    assert found
    assert all(rest.startswith(":?") for rest in found.values()), found
    for name, service in SERVICES.items():
        for variable, value in environment_of(service).items():
            if secret.search(variable) and value is not None:
                assert value.startswith("${"), f"{name}: {variable} is written down"


def test_every_variable_is_in_the_example() -> None:
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    known = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))
    used = {name for name, _ in interpolated()} | passed_through()
    assert used - known == set()


@pytest.mark.parametrize(
    ("service", "process"),
    [("web", "web"), ("dispatcher", "dispatcher"), ("worker-cpu", "worker"), ("worker-gpu", "worker")],
)
def test_each_process_can_be_told_every_setting_it_has_and_nothing_else(service: str, process: str) -> None:
    told = {name for name in environment_of(SERVICES[service]) if name.startswith("FQ_")}
    #: a place in its own container, which the compose file decides by mounting something there or not at all
    own = {"FQ_ALIVE_FILE"}
    assert settings_of(PROCESSES[process]).keys() - told - own == set()
    assert told - settings_of(PROCESSES[process]).keys() == set()


def test_the_settings_that_compose_gives_are_taken_by_the_processes() -> None:
    """Every process starts from what compose tells it: interpolate as compose would, and let the classes judge."""
    values = {name: "abcdefgh12345678" for name, rest in interpolated() if rest.startswith(":?")}
    values |= {"FQ_PUBLIC_URL": "https://q.example.org", "FQ_S3_PUBLIC_ENDPOINT_URL": "https://q.example.org"}
    for service, process in (("web", "web"), ("dispatcher", "dispatcher"), ("worker-cpu", "worker")):
        told = {
            name.removeprefix("FQ_").lower(): _interpolate(str(value), values)
            for name, value in environment_of(SERVICES[service]).items()
            if value is not None
        }
        settings = PROCESSES[process](**told)
        assert settings.model_dump()["store"] == "s3://framequeue-objects"


def _interpolate(text: str, values: dict[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        rest = match["rest"]
        return values.get(match["name"]) or (rest[2:] if rest.startswith(":-") else "")

    return re.sub(r"\$\{(?P<name>[A-Z0-9_]+)(?P<rest>[^}]*)\}", replace, text)


def _dockerfile(service: dict[str, Any]) -> str:
    return (REPOSITORY / service["build"]["dockerfile"]).read_text(encoding="utf-8")
