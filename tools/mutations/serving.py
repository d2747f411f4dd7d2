"""Who gets in over HTTP, and what they are shown."""

from mutations.mutation import Mutation

_ACCESS = "tests/integration/admin/test_access.py"

SERVING = (
    Mutation(
        "a form from another origin is refused",
        "telemetry_admin/gate.py",
        'return bool(origin) and origin == request.headers.get("host", "")',
        "return True",
        _ACCESS,
    ),
    Mutation(
        "a form must hold what its session was given",
        "telemetry_admin/forms.py",
        "if has_token and not request.state.by_bearer and",
        "if False and",
        _ACCESS,
    ),
    Mutation(
        "a name that leads here is not enough to be let in",
        "telemetry_admin/gate.py",
        "        if not self._host_is_known(request):\n",
        "        if False:\n",
        _ACCESS,
    ),
    Mutation(
        "a session ends",
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
