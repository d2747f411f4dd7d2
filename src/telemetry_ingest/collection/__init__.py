"""Event collection packages: public URLs that record pings, and the variables that are stored."""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
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
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "CollectionEndpoint": "endpoint",
            "CollectionMetrics": "metrics",
            "CollectionPackage": "packages",
            "InvalidPackagesError": "packages",
            "KeptVariables": "variables",
            "Reading": "variables",
            "Route": "routes",
            "RouteTable": "routes",
            "catalog_problem": "packages",
            "parse_packages": "packages",
            "read_packages": "packages",
        },
        extra="ingest",
    )

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
