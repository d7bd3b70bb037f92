"""Candidates for a hazard: episodes with known offsets in, hazards by month out, all behind one protocol."""
