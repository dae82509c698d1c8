//! The benchmarks are in this package's folder, one file each.
