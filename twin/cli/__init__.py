"""The command line: thin commands over the functions that the pages call too."""
