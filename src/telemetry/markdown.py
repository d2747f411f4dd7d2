"""Text in generated Markdown pages."""


def cell(text: str) -> str:
    """Returns text that can stand in a table's cell, on one line."""
    return " ".join(text.replace("|", "\\|").splitlines())


def code(text: str) -> str:
    """Returns text set as code, in a table's cell, too."""
    return f"`` {cell(text)} ``" if "`" in text else f"`{cell(text)}`"
