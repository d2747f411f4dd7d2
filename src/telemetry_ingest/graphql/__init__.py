"""GraphQL, as the clients of the original system speak it."""

from telemetry_ingest.graphql.endpoint import GRAPHQL_PATH, GraphQLEndpoint, GraphQLLimits

__all__ = ["GRAPHQL_PATH", "GraphQLEndpoint", "GraphQLLimits"]
