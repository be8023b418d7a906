"""Pure drawing: from values to characters and styles, with no app, no clock and no files.

Standard library, `rich.text` and `rich.cells` only.
"""
