//! The vendor's JSON wire.
