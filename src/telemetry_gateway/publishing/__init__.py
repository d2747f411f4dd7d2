"""From events to the sink, each once: JSON, repeats, retries, rejects."""
