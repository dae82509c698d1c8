//! The examples are in this package's folder, one file each.
