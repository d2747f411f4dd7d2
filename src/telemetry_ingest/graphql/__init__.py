"""The GraphQL endpoint, compatible with clients of the original system."""

from telemetry_ingest.graphql.endpoint import GRAPHQL_PATH, GraphQLEndpoint, GraphQLLimits

__all__ = ["GRAPHQL_PATH", "GraphQLEndpoint", "GraphQLLimits"]
