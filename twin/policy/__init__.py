"""Treatment sequences: what each option is worth, exactly and as learnt; what is recommended, and how it is checked."""
