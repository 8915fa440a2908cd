"""The revisions, one module each; a revision that was released is never changed."""
