"""The product: records, Parquet shards, manifest, dataset card and exports."""
