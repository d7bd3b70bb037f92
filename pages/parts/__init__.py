"""What the pages share: the session, the guard, widgets and figures."""
