"""The door for programs: HTTP. `app` puts it together; each other module knows one thing about it."""
