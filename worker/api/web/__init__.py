"""The pages for people: the same registry as the API, seen in a browser."""
