"""Events over HTTP, from clients that are not Python backends."""
