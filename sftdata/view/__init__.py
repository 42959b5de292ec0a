"""A local page to browse and search what `prepare` wrote, of any size."""
