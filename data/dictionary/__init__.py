"""The specifications as data files: one TOML file a disease, beside the CSV files it names."""
