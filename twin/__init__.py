"""The science: from a patient's record to risk curves with intervals. Pure functions of typed values."""
