"""A patient and a plan in, what may be seen between the decisions and what each sight changes out."""
