"""Opt-out of the user by environment variables."""

from collections.abc import Mapping

OPT_OUTS: Mapping[str, frozenset[str]] = {
    # Console Do Not Track; `true` besides its `1`, because Scarf's clients accept both.
    "DO_NOT_TRACK": frozenset({"1", "true"}),
    # Scarf's Python client, and its npm client.
    "SCARF_NO_ANALYTICS": frozenset({"1", "true"}),
    # Scarf's npm and shell clients.
    "SCARF_ANALYTICS": frozenset({"false"}),
}
"""The variables, each with the values that opt out. Case and surrounding space are ignored."""


def opt_out_variable(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable in `environ` by which the user opted out; None without an opt-out."""
    # SECURITY: this result decides whether anything is sent.
    return next((name for name, no in OPT_OUTS.items() if environ.get(name, "").strip().lower() in no), None)
