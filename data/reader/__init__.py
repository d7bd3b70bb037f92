"""Bytes in, a table of text cells out, or findings that say why not; nothing is guessed."""
