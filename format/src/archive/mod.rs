//! The bundle's archive: a plain `tar.gz` made of cached gzip members, and a reader that trusts nothing.
