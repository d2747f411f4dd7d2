"""Escapes text for generated Markdown pages."""


def cell(text: str) -> str:
    """Return text for a table cell, on one line."""
    return " ".join(text.replace("|", "\\|").splitlines())


def code(text: str) -> str:
    """Return text as inline code, also valid in a table cell."""
    return f"`` {cell(text)} ``" if "`" in text else f"`{cell(text)}`"
