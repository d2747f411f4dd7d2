"""Event collection packages: URLs that anybody may ping, and what is kept of a ping."""

from ingest.collection.endpoint import CollectionEndpoint
from ingest.collection.metrics import CollectionMetrics
from ingest.collection.packages import CollectionPackage, InvalidPackagesError, parse_packages, read_packages

__all__ = [
    "CollectionEndpoint",
    "CollectionMetrics",
    "CollectionPackage",
    "InvalidPackagesError",
    "parse_packages",
    "read_packages",
]
