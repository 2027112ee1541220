"""Display of results as text: fields one a line, rows in columns."""

from __future__ import annotations


class Facts:
    """Fields, one a line."""

    def __repr__(self) -> str:
        return columns(
            [
                (name, f"{value:.4g}" if isinstance(value, float) else str(value))
                for name, value in vars(self).items()
            ]
        )


def columns(rows: list[tuple[str, ...]]) -> str:
    """Rows of equally many texts, each column as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
