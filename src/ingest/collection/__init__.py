"""Event collection packages: URLs that anybody may ping, and what is kept of a ping."""

from ingest.collection.endpoint import CollectionEndpoint
from ingest.collection.metrics import CollectionMetrics
from ingest.collection.packages import (
    CollectionPackage,
    InvalidPackagesError,
    catalog_problem,
    parse_packages,
    read_packages,
)
from ingest.collection.routes import Route, RouteTable
from ingest.collection.variables import KeptVariables, Reading

__all__ = [
    "CollectionEndpoint",
    "CollectionMetrics",
    "CollectionPackage",
    "InvalidPackagesError",
    "KeptVariables",
    "Reading",
    "Route",
    "RouteTable",
    "catalog_problem",
    "parse_packages",
    "read_packages",
]
