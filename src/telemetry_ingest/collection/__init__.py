"""Event collection packages: public URLs that record pings, and the variables that are stored."""

from telemetry_ingest.collection.endpoint import CollectionEndpoint
from telemetry_ingest.collection.metrics import CollectionMetrics
from telemetry_ingest.collection.packages import (
    CollectionPackage,
    InvalidPackagesError,
    catalog_problem,
    parse_packages,
    read_packages,
)
from telemetry_ingest.collection.routes import Route, RouteTable
from telemetry_ingest.collection.variables import KeptVariables, Reading

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
