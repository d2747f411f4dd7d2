"""Changes to uvicorn's HTTP protocols: limits on time, size and connections."""
