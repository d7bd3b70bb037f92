"""How facts get in and stay: specifications, reading, checking, storing. Knows files and SQL, no science, no screen."""
