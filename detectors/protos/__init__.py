"""The fields that modelport reads, as `.proto`, and the modules generated from them (`make protos`)."""
