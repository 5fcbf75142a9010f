"""Plugins of hetznercloud/hcloud and terraform-lxd/lxd that know the real ones' schema and make nothing.

The attributes and blocks are those of the resources' reference pages; ids and addresses are made up.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tf import runner
from tf.blocks import SetNestedBlock
from tf.iface import Config, CreateContext, Provider, Resource, State
from tf.schema import Attribute, Block, Schema
from tf.types import Bool, List, Map, Number, Set, String, TfType
from tf.utils import Diagnostics


def _attributes(required: bool = False, computed: bool = False, **types: TfType) -> list[Attribute]:
    return [
        Attribute(name, type_, required=required, optional=not required and not computed, computed=computed)
        for name, type_ in types.items()
    ]


def _optional(**types: TfType) -> list[Attribute]:
    return _attributes(**types)


class _Made(Resource):
    made: ClassVar[dict[str, Any]]

    def __init__(self, _provider: Provider) -> None:
        """Nothing is kept."""

    def create(self, _context: CreateContext, planned: State) -> State:
        return {**planned, **self.made}

    def read(self, _context: object, current: State) -> State:
        return current

    def update(self, _context: object, _current: State, planned: State) -> State:
        return planned

    def delete(self, _context: object, _current: State) -> None:
        """Nothing is there."""


class Server(_Made):
    made: ClassVar[dict[str, Any]] = {
        "id": "42",
        "ipv4_address": "203.0.113.7",
        "ipv6_address": "2001:db8::1",
        "status": "running",
    }

    @classmethod
    def get_name(cls) -> str:
        return "server"

    @classmethod
    def get_schema(cls) -> Schema:
        network = Block(attributes=_optional(ipv4_enabled=Bool(), ipv6_enabled=Bool(), ipv4=Number(), ipv6=Number()))
        return Schema(
            attributes=[
                *_attributes(required=True, name=String(), server_type=String()),
                *_optional(image=String(), location=String(), user_data=String(), labels=Map(String())),
                *_optional(backups=Bool(), delete_protection=Bool(), rebuild_protection=Bool()),
                *_optional(shutdown_before_deletion=Bool(), firewall_ids=Set(Number())),
                *_attributes(computed=True, id=String(), ipv4_address=String(), ipv6_address=String(), status=String()),
            ],
            block_types=[SetNestedBlock("public_net", network)],
        )


class Instance(_Made):
    made: ClassVar[dict[str, Any]] = {"ipv4_address": "10.0.0.7", "ipv6_address": "", "status": "Running"}

    @classmethod
    def get_name(cls) -> str:
        return "instance"

    @classmethod
    def get_schema(cls) -> Schema:
        device = Block(attributes=_attributes(required=True, name=String(), type=String(), properties=Map(String())))
        return Schema(
            attributes=[
                *_attributes(required=True, name=String()),
                *_optional(image=String(), type=String(), remote=String(), project=String(), description=String()),
                *_optional(profiles=List(String()), config=Map(String()), limits=Map(String()), running=Bool()),
                *_attributes(computed=True, ipv4_address=String(), ipv6_address=String(), status=String()),
            ],
            block_types=[SetNestedBlock("device", device)],
        )


class Stub(Provider):
    """A plugin of one resource."""

    def __init__(self, source: str, settings: Schema, resource: type[Resource]) -> None:
        self._source = source
        self._settings = settings
        self._resource = resource

    def get_model_prefix(self) -> str:
        return f"{self._source.rpartition('/')[2]}_"

    def get_provider_schema(self, _diags: Diagnostics) -> Schema:
        return self._settings

    def full_name(self) -> str:
        return self._source

    def validate_config(self, _diags: Diagnostics, _config: Config) -> None:
        """Whatever fits the schema is right."""

    def configure_provider(self, _diags: Diagnostics, _config: Config) -> None:
        """There is nothing to reach."""

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[type[Resource]]:
        return [self._resource]


STUBS = {
    "hetzner": (
        "hetznercloud/hcloud",
        "1.49.0",
        Schema(attributes=[*_attributes(required=True, token=String()), *_optional(endpoint=String())]),
        Server,
    ),
    "lxd": ("terraform-lxd/lxd", "2.4.0", Schema(), Instance),
}


def serve(name: str) -> None:
    """Be the plugin for a provider's templates."""
    source, _, settings, resource = STUBS[name]
    runner.run_provider(Stub(source, settings, resource))
