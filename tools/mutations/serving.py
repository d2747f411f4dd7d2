"""Mutations of the admin page: access, and what its pages show."""

from mutations.mutation import Mutation

_ACCESS = "tests/integration/admin/test_access.py"

SERVING = (
    Mutation(
        "a form from another origin is rejected",
        "telemetry_admin/gate.py",
        'return bool(origin) and origin == request.headers.get("host", "")',
        "return True",
        _ACCESS,
    ),
    Mutation(
        "a form must contain its session's token",
        "telemetry_admin/forms.py",
        "if has_token and not request.state.by_bearer and",
        "if False and",
        _ACCESS,
    ),
    Mutation(
        "requests for an unknown host name are rejected",
        "telemetry_admin/gate.py",
        "        if not self._host_is_known(request):\n",
        "        if False:\n",
        _ACCESS,
    ),
    Mutation(
        "a session expires",
        "telemetry_admin/access.py",
        "return self._clock() < expires",
        "return True",
        "tests/unit/admin/test_access.py",
    ),
    Mutation(
        "a page shows what a row holds as text",
        "telemetry_admin/rendering.py",
        "autoescape=True",
        "autoescape=False",
        "tests/integration/admin/test_pages.py",
    ),
)
