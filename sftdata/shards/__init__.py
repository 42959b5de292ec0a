"""Write and read Arrow shards that `datasets.load_from_disk` opens."""
